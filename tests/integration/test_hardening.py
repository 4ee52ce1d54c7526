# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a container is: looked at from inside by ordinary programs, and from outside in the host's /proc."""

import errno
import os
import pathlib
import re
import signal

import pytest
from kenneld import controllers, wait_for

ZERO = "0" * 16
CAPABILITY_LINES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# The 23 of DESIGN 4 that this machine's architecture may not have at all are left to the probe to name.
REFUSED = """mount acct umount2 sethostname swapon swapoff reboot adjtimex setdomainname init_module delete_module quotactl
finit_module setns clock_adjtime kexec_load pivot_root clock_settime personality kexec_file_load bpf perf_event_open
userfaultfd io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick
mount_setattr keyctl add_key request_key""".split()
NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time")


def status(text):
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def values(text):
    return {k: v.strip() for k, v in status(text).items()}


@pytest.fixture
def pair(kennel):
    """Two running containers: their ids and host pids."""
    ids = [kennel.start_container("--name", name) for name in ("one", "two")]
    return [(i, kennel.inspect(i)["container"]["pid"]) for i in ids]


def test_no_capabilities_inside(kennel):
    inside = values(kennel.run("--", "cat", "/proc/self/status").ok())
    assert {line: inside[line] for line in CAPABILITY_LINES} == dict.fromkeys(CAPABILITY_LINES, ZERO)
    assert inside["NoNewPrivs"] == "1"
    assert inside["Seccomp"] == "2"
    assert inside["Uid"].split() == ["0"] * 4


def test_no_capabilities_seen_from_outside(pair):
    for _, pid in pair:
        outside = values(pathlib.Path(f"/proc/{pid}/status").read_text())
        assert {line: outside[line] for line in CAPABILITY_LINES} == dict.fromkeys(CAPABILITY_LINES, ZERO)
        assert outside["NoNewPrivs"] == "1"
        assert outside["Seccomp"] == "2"
        assert len(outside["NSpid"].split()) == len(values(pathlib.Path("/proc/1/status").read_text())["NSpid"].split()) + 1


def test_uid_maps_differ_and_are_not_the_identity(pair):
    maps = [pathlib.Path(f"/proc/{pid}/uid_map").read_text().split() for _, pid in pair]
    assert maps[0] != maps[1]
    bases = sorted(int(m[1]) for m in maps)
    for inside, outside, count in maps:
        assert (int(inside), int(count)) == (0, 65536)
        assert int(outside) >= 65536
    assert bases[1] - bases[0] >= 65536, "the ranges overlap"
    for _, pid in pair:
        uids = values(pathlib.Path(f"/proc/{pid}/status").read_text())["Uid"].split()
        assert set(uids) == {pathlib.Path(f"/proc/{pid}/uid_map").read_text().split()[1]}
        assert pathlib.Path(f"/proc/{pid}/setgroups").read_text().strip() in ("allow", "deny")


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_namespaces_are_its_own(pair, namespace):
    if not os.path.exists(f"/proc/self/ns/{namespace}"):
        pytest.skip(f"/proc/self/ns/{namespace} does not exist: the kernel has no such namespace")
    inodes = {os.readlink(f"/proc/{pid}/ns/{namespace}") for pid in ("self", *(p for _, p in pair))}
    assert len(inodes) == 3


def has_three_descriptors(pid):
    """Right after execve the dynamic loader has its libraries open, one after the other."""

    def descriptors():
        return sorted(os.listdir(f"/proc/{pid}/fd"))

    wait_for(lambda: descriptors() == ["0", "1", "2"], f"three descriptors instead of {descriptors()}")


def test_only_three_descriptors(kennel, pair):
    listing = kennel.run("--", "/bin/sh", "-c", "ls /proc/$$/fd; readlink /proc/$$/cwd").ok().split()
    assert listing == ["0", "1", "2", "/"]
    for _, pid in pair:
        has_three_descriptors(pid)


def test_proc_self_exe_is_not_writable(kennel):
    # The program of the payload is on the image, and the reaper's is a sealed memfd: neither can be opened for writing.
    for flags in ((), ("--init",)):
        out = kennel.run(*flags, "--", "/bin/sh", "-c", "for f in /proc/1/exe /proc/self/exe; do (: >>$f) 2>&1; done; :").ok()
        assert len(re.findall("denied|busy|Read-only|not permitted|nonexistent", out)) == 2, out


def test_system_calls_that_are_refused(kennel, probe):
    out = kennel.run("-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "syscalls", *REFUSED).ok()
    results = dict(line.split() for line in out.splitlines())
    assert set(results) == set(REFUSED)
    assert {name: r for name, r in results.items() if r not in ("EPERM", "ENOSYS", "EACCES")} == {}
    # what DESIGN names must be refused as an attempt, not unknown
    assert {results[name] for name in REFUSED[:19]} == {"EPERM"}, results


def test_system_calls_that_no_longer_exist_here(kennel, probe):
    for name in ("nfsservctl",):
        assert kennel.run("-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "syscalls", name).ok().split()[1] in (
            "EPERM",
            "ENOSYS",
        )


def test_unknown_system_calls_are_enosys(kennel, probe):
    out = kennel.run("-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "numbers", "500", "900", "100000", "-1").ok()
    assert {line.split()[1] for line in out.splitlines()} == {"ENOSYS"}, out


@pytest.mark.parametrize("entry", [("numbers", str(0x40000000 + 39)), ("int80",)], ids=["x32", "i386"])
def test_x32_and_32_bit_are_closed(kennel, probe, entry):
    """getpid by another door: refused, or the end of the process (SIGSEGV: by a kernel that does not have the door)."""
    result = kennel.run("-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", *entry)
    assert result.code in (128 + signal.SIGSYS, 128 + signal.SIGSEGV) or result.stdout.split()[-1] in ("ENOSYS", "EPERM"), result


@pytest.mark.parametrize("what", ["unshare-user", "clone-user", "clone3-user"])
def test_no_nested_user_namespace(kennel, probe, what):
    out = kennel.run("-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", what).ok().strip()
    assert out in ("EPERM", "ENOSYS"), out


def test_threads_and_forks_work(kennel, probe):
    assert kennel.run("-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "threads").ok().strip() == "ok"


def test_exec_gets_every_control_too(kennel, probe):
    container = kennel.start_container("-v", f"{probe}:/mnt:ro")
    inside = values(kennel.kennel("exec", container, "cat", "/proc/self/status").ok())
    assert {line: inside[line] for line in CAPABILITY_LINES} == dict.fromkeys(CAPABILITY_LINES, ZERO)
    assert (inside["NoNewPrivs"], inside["Seccomp"]) == ("1", "2")
    out = kennel.kennel("exec", container, "/mnt/probe", "syscalls", *REFUSED).ok()
    assert {line.split()[1] for line in out.splitlines()} <= {"EPERM", "ENOSYS", "EACCES"}
    init = kennel.inspect(container)["container"]["pid"]
    with kennel.connect() as c:
        stream = c.stream("Exec", container=container, command=["sleep", "1000"])
        pid = next(stream)["hostPid"]
        for namespace in NAMESPACES:
            if os.path.exists(f"/proc/self/ns/{namespace}"):
                assert os.readlink(f"/proc/{pid}/ns/{namespace}") == os.readlink(f"/proc/{init}/ns/{namespace}")
        has_three_descriptors(pid)
        for name in ("cgroup", "uid_map", "gid_map", "limits", "oom_score_adj", "loginuid"):
            mine, theirs = (pathlib.Path(f"/proc/{p}/{name}") for p in (pid, init))
            if mine.exists():
                assert mine.read_text() == theirs.read_text(), name
        mine, theirs = (values(pathlib.Path(f"/proc/{p}/status").read_text()) for p in (pid, init))
        for key in ("Uid", "Gid", "Groups", *CAPABILITY_LINES, "NoNewPrivs", "Seccomp", "Seccomp_filters", "Cpus_allowed"):
            assert mine.get(key) == theirs.get(key), key


def test_masked_and_read_only_parts_of_proc_and_sys(kennel):
    script = """
    for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats; do
        [ -e $f ] && [ -n "$(head -c 1 $f 2>/dev/null)" ] && echo readable $f
    done
    for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/irq/default_smp_affinity; do
        [ -e $f ] && (echo x >$f) 2>/dev/null && echo writable $f
    done
    ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v : | grep .
    find /sys -writable -type f 2>/dev/null | head -3
    :
    """
    assert kennel.sh(script) == ""


def test_dev_has_the_six_and_the_terminal_files(kennel):
    listing = kennel.run("--", "/bin/sh", "-c", "cd /dev; ls -A").ok().split()
    assert set(listing) - {"console"} == set(
        "null zero full random urandom tty ptmx pts shm mqueue fd stdin stdout stderr".split()
    ) - ({"mqueue"} - set(listing))
    script = "echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 9 /dev/urandom | wc -c; cat /etc/passwd 2>&1 >/dev/full; :"
    out = kennel.sh(script)
    assert "00 00 00" in out and "9" in out and "No space" in out


def test_devices_cannot_be_made_or_opened(kennel, probe):
    # mknod needs a capability that nobody but root may add; even with it the device program refuses.
    script = "mknod /tmp/sda b 8 0; mknod /tmp/kmsg c 1 11; cat /tmp/kmsg; :"
    out = kennel.kennel("run", "--rm", "--cap-add", "MKNOD", "--tmpfs", "/tmp", "--", "/bin/sh", "-c", script)
    assert len(re.findall("not permitted|denied", out.stderr)) >= 2, out


def test_set_id_bits_and_devices_are_dead_on_every_writable_mount(kennel):
    out = kennel.run("--tmpfs", "/mnt", "-v", "/tmp:/srv", "--", "cat", "/proc/self/mountinfo").ok()
    for line in out.splitlines():
        fields = line.split()
        target, options = fields[4], fields[5].split(",")
        if "rw" in options and target != "/":
            assert "nosuid" in options, line
            if not target.startswith("/dev"):
                assert "nodev" in options, line


def test_core_limit_oom_and_pids(kennel, pair):
    _, pid = pair[0]
    assert re.search(r"Max core file size +0 +0 ", pathlib.Path(f"/proc/{pid}/limits").read_text())
    own = int(pathlib.Path("/proc/self/oom_score_adj").read_text())
    assert int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text()) > own
    assert kennel.inspect("one")["limits"]["pids"] == (1024 if "pids" in controllers() else None)


def test_own_session_and_empty_keyring(kennel, pair):
    _, pid = pair[0]
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    assert int(fields[3]) == pid, "the first process leads a session of its own"
    assert int(fields[4]) == 0, "it has a controlling terminal"


def test_network_is_a_loopback_that_is_up(kennel):
    out = kennel.sh("cat /proc/net/dev; cat /sys/class/net/lo/operstate 2>/dev/null; cat /proc/net/route; hostname")
    interfaces = [line.split(":")[0].strip() for line in out.splitlines() if ":" in line]
    assert interfaces == ["lo"]
    script = """
import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
c = socket.create_connection(s.getsockname()); print("connected")
"""
    assert kennel.run("--", "python3", "-c", script).ok() == "connected\n"


def test_two_containers_do_not_see_each_other(kennel, pair):
    out = kennel.kennel("exec", "one", "/bin/sh", "-c", "ls -d /proc/[0-9]*; cat /proc/self/cgroup; hostname").ok()
    assert kennel.inspect("two")["container"]["id"] not in out
    pids = re.findall(r"/proc/(\d+)", out)
    assert all(int(p) < 10 for p in pids), pids
    assert kennel.inspect("one")["container"]["id"] not in "".join(re.findall(r"^0::.*$", out, re.M))


def test_the_daemon_cannot_be_traced_through_the_container(kennel, pair):
    for _, pid in pair:
        parent = values(pathlib.Path(f"/proc/{pid}/status").read_text())["PPid"]
        assert parent == str(kennel.process.pid)
    assert kennel.kennel("exec", "one", "/bin/sh", "-c", "ls /proc/*/exe 2>/dev/null | wc -l").ok()


def test_verify_passes_and_names_each_control(kennel, pair):
    result = kennel.call("Verify", container="one")
    assert result["passed"] is True
    text = " ".join(c["control"] for c in result["checks"]).lower()
    for word in ("uid", "cap", "privs", "seccomp", "namespace", "cgroup"):
        assert word in text.replace("nonewprivs", "privs").replace("no_new_privs", "privs"), (word, text)
    assert all(c["passed"] for c in result["checks"])
    out = kennel.kennel("verify", "one")
    assert out.code == 0


# A filter that lets everything through, with a listener that nobody uses; a call without meaning that is told of.
LISTENER = """
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
seccomp, swapon = {"x86_64": (317, 167), "aarch64": (277, 224)}[os.uname().machine]
code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))
def call(*arguments):
    return ctypes.get_errno() if libc.syscall(*arguments) < 0 else 0
def attempt():
    print(call(seccomp, 1, 0, program), call(seccomp, 1, 8, program), call(swapon, 0, 0), flush=True)
attempt()
while len(sys.argv) > 1 and not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
attempt()
"""


def test_refused_calls_get_no_other_listener(daemon, scratch):
    """Neither while the daemon has it, nor once it is closed: whoever listened could let refused calls continue."""
    volume = pathlib.Path(scratch) / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    said, (refused, closed) = volume / "said", (f"0 {errno.EBUSY} {errno.EPERM}", f"0 {errno.EBUSY} {errno.ENOSYS}")
    (volume / "listener.py").write_text(LISTENER)
    container = daemon.start_container(
        "-v", f"{volume}:/mnt", command=("sh", "-c", "python3 /mnt/listener.py /mnt/go >/mnt/said; exec sleep infinity")
    )
    wait_for(lambda: said.exists() and said.read_text(), "the first attempt")
    assert said.read_text().splitlines() == [refused]
    assert daemon.kennel("exec", container, "python3", "-c", LISTENER).ok().splitlines() == [refused] * 2
    daemon.terminate(signal.SIGKILL, expected=-signal.SIGKILL)
    (volume / "go").touch()
    wait_for(lambda: said.read_text().count("\n") == 2, "the second attempt")
    assert said.read_text().splitlines() == [refused, closed]
    daemon.start()
    assert daemon.kennel("exec", container, "python3", "-c", LISTENER).ok().splitlines() == [refused] * 2
