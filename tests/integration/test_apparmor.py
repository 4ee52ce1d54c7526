# SPDX-License-Identifier: LGPL-2.1-or-later
"""AppArmor: what a container's own profile refuses when nothing else does, and how profiles come and go.

Every refusal is looked for twice: the program's error inside, and the kernel's line about it, which names the profile.
seccomp is off in these tests and capabilities are given, so that it is AppArmor that refuses.
"""

import contextlib
import errno
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

import pytest
from kenneld import wait_for
from test_images import HELLO
from varlink import VarlinkError

ROOT = pathlib.Path("/sys/kernel/security/apparmor")
if not (ROOT / "profiles").exists():
    pytest.skip("the kernel has no AppArmor: there is no /sys/kernel/security/apparmor/profiles", allow_module_level=True)

OPEN = ("--security-opt", "seccomp=unconfined")
NAME = re.compile(r"kennel-\d+")


def label(pid):
    for path in (f"/proc/{pid}/attr/apparmor/current", f"/proc/{pid}/attr/current"):
        with contextlib.suppress(FileNotFoundError):
            return pathlib.Path(path).read_text().rstrip("\0\n")
    raise AssertionError(f"no label of {pid}")


def loaded():
    """The containers' profiles that the kernel has: name and mode."""
    lines = (ROOT / "profiles").read_text().splitlines()
    return {m[1]: m[2] for m in (re.fullmatch(r"(kennel-\d+) \((\w+)\)", line) for line in lines) if m}


def pid_of(kennel, container):
    return kennel.inspect(container)["container"]["pid"]


def profile_of(kennel, container):
    name, mode = label(pid_of(kennel, container)).split(" ")
    assert mode == "(enforce)"
    return name


class Audit:
    """The kernel's refusals from now on."""

    def __init__(self):
        # the kernel drops lines beyond so many a second
        for name in ("printk_ratelimit", "printk_ratelimit_burst"):
            pathlib.Path(f"/proc/sys/kernel/{name}").write_text("0" if name == "printk_ratelimit" else "10000")
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)
        self.lines = []

    def close(self):
        os.close(self.fd)

    def read(self):
        while True:
            try:
                line = os.read(self.fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return self.lines
            except BrokenPipeError:  # overwritten before it was read
                continue
            if 'apparmor="DENIED"' in line:
                self.lines.append(line.split(";", 1)[1].split("\n", 1)[0])

    def find(self, profile, **fields):
        return [
            line for line in self.read() if f'profile="{profile}"' in line and all(f'{k}="{v}"' in line for k, v in fields.items())
        ]

    def expect(self, profile, **fields):
        return wait_for(lambda: self.find(profile, **fields), f"a refusal of {profile} with {fields} in {self.lines}", 10)[0]


@pytest.fixture
def audit():
    a = Audit()
    yield a
    a.close()


@pytest.fixture
def strong(kennel, probe):
    """A container with everything that root can give it, but for AppArmor's consent."""
    caps = [word for cap in ("SYS_ADMIN", "SYS_PTRACE", "KILL", "system", "SYS_MODULE", "SYS_TIME") for word in ("--cap-add", cap)]
    return kennel.start_container(*OPEN, *caps, "-v", f"{probe}:/mnt:ro", "--tmpfs", "/scratch")


def test_payload_has_a_profile_of_its_own(kennel):
    """Read from the host; two containers, two profiles; a program started later has its container's."""
    one, two = (kennel.start_container("--name", name) for name in ("one", "two"))
    labels = [profile_of(kennel, c) for c in (one, two)]
    assert all(NAME.fullmatch(name) for name in labels)
    assert labels[0] != labels[1]
    assert [loaded()[name] for name in labels] == ["enforce", "enforce"]
    for container, name in zip((one, two), labels):
        with kennel.connect() as c:
            pid = next(c.stream("Exec", container=container, command=["sleep", "1000"]))["hostPid"]
            assert label(pid) == f"{name} (enforce)"
        assert kennel.kennel("exec", container, "cat", "/proc/self/attr/current").ok().strip() == f"{name} (enforce)"


@pytest.mark.parametrize("flags", [("--init",), ("--read-only",), ("-u", "1000"), ("--cap-add", "system")], ids=" ".join)
def test_every_kind_of_start_has_it(kennel, flags):
    container = kennel.start_container(*flags)
    assert NAME.fullmatch(profile_of(kennel, container))


def test_with_a_terminal(kennel):
    """Made by the container's process before it has its profile, used under it."""
    line = shlex.join(kennel.client_command("run", "--rm", "-it", "--", "cat", "/proc/self/attr/current"))
    out = subprocess.run(["script", "-qec", line, "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert NAME.search(out.stdout), out


# --- what it refuses --------------------------------------------------------------------------------------------------

MOUNTS = {
    "mount": ("mount -t tmpfs none /scratch", ("mount", "capable")),
    "bind": ("mount --bind /usr /scratch", ("mount", "capable")),
    "remount": ("mount -o remount,rw /scratch", ("mount", "capable")),
    "propagation": ("mount --make-shared /", ("mount", "capable")),
    "second proc": ("mount -t proc proc /scratch", ("mount", "capable")),
    "umount": ("umount -l /scratch", ("umount", "capable")),
    "pivot_root": ("pivot_root /scratch /scratch", ("pivotroot", "capable")),
}


@pytest.mark.parametrize("case", MOUNTS)
def test_mounts_are_refused(kennel, strong, audit, case):
    script, operations = MOUNTS[case]
    result = kennel.kennel("exec", strong, "/bin/sh", "-c", script)
    assert result.code != 0
    profile = profile_of(kennel, strong)
    lines = wait_for(lambda: audit.find(profile), f"a refusal of {profile} in {audit.lines}", 10)
    assert any(f'operation="{o}"' in line for line in lines for o in operations), lines
    assert "/scratch tmpfs" in kennel.kennel("exec", strong, "sh", "-c", "cut -d' ' -f2,3 /proc/mounts").ok()


def test_new_mount_calls_end_in_a_refusal(kennel, strong, audit):
    """Where the kernel does not ask about move_mount, it asks about the capability."""
    script = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.syscall(430, b"tmpfs", 0)
made = -1
if fd >= 0 and libc.syscall(431, fd, 6, None, None, 0) == 0:
    made = libc.syscall(432, fd, 0, 0)
moved = libc.syscall(429, made, b"", -100, b"/scratch", 4) if made >= 0 else -1
print("moved" if moved == 0 else "refused", ctypes.get_errno())
"""
    assert kennel.kennel("exec", strong, "python3", "-c", script).ok().split()[0] == "refused"
    profile = profile_of(kennel, strong)
    lines = wait_for(lambda: audit.find(profile), "a refusal", 10)
    assert any('operation="move_mount"' in line or 'operation="mount"' in line or 'capname="sys_admin"' in line for line in lines), lines


# In a container, ids, mounts and masks refuse these before AppArmor is asked. So here a process asks that has none of them in
# its way: root of the host, in the host's namespaces, with all capabilities, and the container's profile.
AS_ROOT = """
import ctypes, os, sys
f = os.open("/proc/self/attr/current", os.O_WRONLY); os.write(f, b"changeprofile " + sys.argv[1].encode()); os.close(f)
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    return 0 if libc.syscall(*arguments) >= 0 else ctypes.get_errno()
try:
    print(eval(sys.argv[2]))
except OSError as e:
    print(e.errno)
"""


def as_root(profile, expression):
    """In a mount namespace of its own, should the kernel let something through."""
    line = ["unshare", "--mount", "/usr/bin/python3", "-c", AS_ROOT, profile, expression]
    return int(subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout)


WRITES = (
    "/proc/sys/kernel/hostname",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
    "/sys/kernel/uevent_helper",
    "/sys/module/apparmor/parameters/mode",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/kernel/security/apparmor/.replace",
)


@pytest.fixture
def profile(kennel):
    return profile_of(kennel, kennel.start_container())


def test_writes_to_the_kernels_files_are_refused(profile, audit):
    """Opened for writing, and closed again: nothing would be written where it is permitted."""
    there = [path for path in WRITES if os.path.exists(path)]
    assert len(there) >= 8
    for path in there:
        assert as_root("unconfined", f"os.close(os.open({path!r}, os.O_WRONLY)) or 0") == 0, path
        assert as_root(profile, f"os.close(os.open({path!r}, os.O_WRONLY)) or 0") == errno.EACCES, path
        line = audit.expect(profile, operation="open", name=path)
        assert 'denied_mask="w' in line, line


def test_some_may_not_even_be_read(profile, audit):
    for path in ("/proc/kcore", "/proc/sysrq-trigger", "/dev/kmsg", "/dev/mem", "/sys/kernel/security/apparmor/profiles"):
        if os.path.exists(path):
            assert as_root(profile, f"os.close(os.open({path!r}, os.O_RDONLY)) or 0") == errno.EACCES, path
            audit.expect(profile, operation="open", name=path)


def test_what_processes_do_to_themselves_is_permitted(profile, audit):
    for path in ("/proc/self/comm", "/proc/self/oom_score_adj", "/proc/self/mem", "/proc/self/attr/current"):
        assert as_root(profile, f"os.close(os.open({path!r}, os.O_WRONLY)) or 0") == 0, path
    assert audit.find(profile) == []


# Without AppArmor: 0, or an error that comes after the question whether it is permitted.
CALLS = {
    "mount": ("call(165, b'none', b'/mnt', b'tmpfs', 0, 0)", 0, "mount", "mount"),
    "remount": ("call(165, b'none', b'/', 0, 0x20 | 0x1000, 0)", 0, "mount", "mount"),
    "bind": ("call(165, b'/usr', b'/mnt', 0, 0x1000, 0)", 0, "mount", "mount"),
    "mount_setattr": ("call(442, -100, b'/', 0, bytes(16) + (1 << 18).to_bytes(8, 'little') + bytes(8), 32)", 0, "mount", "sys_admin"),
    "umount": ("call(166, b'/proc', 2)", 0, "umount", "sys_admin"),
    "pivot_root": ("call(155, b'/mnt', b'/mnt')", errno.EBUSY, "pivotroot", "sys_admin"),
    "init_module": ("call(175, 0, 0, 0)", errno.ENOEXEC, "capable", "sys_module"),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls_of_root_are_refused(profile, audit, case):
    expression, otherwise, operation, capability = CALLS[case]
    found = as_root("unconfined", expression)
    assert found == otherwise or (found not in (errno.EPERM, errno.EACCES)), f"without the profile: {errno.errorcode[found]}"
    assert as_root(profile, expression) in (errno.EPERM, errno.EACCES)
    lines = wait_for(lambda: audit.find(profile), "a refusal", 10)
    assert any(f'operation="{operation}"' in line or f'capname="{capability}"' in line for line in lines), lines


def test_another_profile_cannot_be_taken(kennel, strong, audit):
    other = kennel.start_container()
    for name in ("unconfined", profile_of(kennel, other)):
        script = f"import os; f = os.open('/proc/thread-self/attr/current', os.O_WRONLY); os.write(f, b'changeprofile {name}')"
        result = kennel.kennel("exec", strong, "python3", "-c", script)
        assert result.code == 1 and "PermissionError" in result.stderr, result
    audit.expect(profile_of(kennel, strong), operation="change_profile")


@pytest.fixture
def stranger(kennel, strong):
    """A process in the container's user and pid namespaces, with the uid of its root, that has no profile."""
    pid = pid_of(kennel, strong)
    command = ["nsenter", "-t", str(pid), "--user", "--pid", "--setuid", "0", "--setgid", "0", "--", "sleep", "1000"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    inner = int(wait_for(lambda: children.read_text().split(), "the process in the namespace")[0])
    wait_for(lambda: pathlib.Path(f"/proc/{inner}/comm").read_text() == "sleep\n", "sleep")
    status = pathlib.Path(f"/proc/{inner}/status").read_text()
    yield inner, int(re.search(r"^NSpid:.*\t(\d+)$", status, re.M)[1])
    with contextlib.suppress(ProcessLookupError):
        os.kill(inner, signal.SIGKILL)
    process.wait()


def test_signals_to_others_are_refused(kennel, strong, audit, stranger):
    outer, inner = stranger
    assert label(outer) == "unconfined"
    result = kennel.kennel("exec", strong, "/bin/sh", "-c", f"kill -0 {inner}; kill -KILL {inner}")
    assert result.code != 0 and "ermi" in result.stderr, result
    assert pathlib.Path(f"/proc/{outer}/comm").read_text() == "sleep\n"
    line = audit.expect(profile_of(kennel, strong), operation="signal", peer="unconfined")
    assert 'requested_mask="send"' in line


def test_tracing_others_is_refused(kennel, strong, audit, stranger):
    script = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(0x4206, {stranger[1]}, 0, 0), ctypes.get_errno())
try:
    open("/proc/{stranger[1]}/environ").read()
    print("read")
except OSError as e:
    print(e.errno)
"""
    # the container's /proc shows the process: it is in its pid namespace
    out = kennel.kennel("exec", strong, "python3", "-c", script).ok().splitlines()
    assert out == ["-1 13", "13"] or out == ["-1 1", "13"], out
    audit.expect(profile_of(kennel, strong), operation="ptrace", peer="unconfined")


def test_another_containers_processes_are_others(kennel, strong, audit):
    """As after a way out of the pid namespace: same namespaces, same uid, but another container's profile."""
    other = kennel.start_container()
    theirs = profile_of(kennel, other)
    code = f"""
import os
f = os.open("/proc/self/attr/current", os.O_WRONLY); os.write(f, b"changeprofile {theirs}"); os.close(f)
os.execvp("sleep", ["sleep", "1000"])
"""
    pid = pid_of(kennel, strong)
    command = ["nsenter", "-t", str(pid), "--user", "--pid", "--setuid", "0", "--setgid", "0", "--", "/usr/bin/python3", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        outer = int(wait_for(lambda: children.read_text().split(), "the process in the namespace")[0])
        wait_for(lambda: pathlib.Path(f"/proc/{outer}/comm").read_text() == "sleep\n", "sleep")
        assert label(outer) == f"{theirs} (enforce)"
        inner = re.search(r"^NSpid:.*\t(\d+)$", pathlib.Path(f"/proc/{outer}/status").read_text(), re.M)[1]
        result = kennel.kennel("exec", strong, "/bin/sh", "-c", f"kill -KILL {inner}")
        assert result.code != 0, result
        audit.expect(profile_of(kennel, strong), operation="signal", peer=theirs)
        os.kill(outer, signal.SIGKILL)


def test_processes_of_one_container_signal_and_trace_each_other(kennel, strong, audit):
    script = """
import ctypes, os, signal, subprocess
child = subprocess.Popen(["sleep", "1000"])
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(0x4206, child.pid, 0, 0) == 0, ctypes.get_errno()
libc.ptrace(17, child.pid, 0, 0)
open(f"/proc/{child.pid}/environ").read()
child.kill()
print(child.wait())
"""
    assert kennel.kennel("exec", strong, "python3", "-c", script).ok() == "-9\n"
    assert audit.find(profile_of(kennel, strong)) == []


def test_the_host_may_end_and_look_at_it(kennel, audit):
    container = kennel.start_container()
    pid = pid_of(kennel, container)
    name = profile_of(kennel, container)
    assert os.readlink(f"/proc/{pid}/exe")
    assert kennel.call("Verify", container=container)["passed"] is True
    os.kill(pid, signal.SIGKILL)
    kennel.wait_exited(container)
    assert audit.find(name) == []


# --- what it leaves alone ---------------------------------------------------------------------------------------------


def test_ordinary_programs_are_not_refused_anything(kennel, audit, debian_root):
    flags = ("--rootfs", debian_root)
    debs = debian_root.with_suffix(".debs")
    deb = next(debs.glob("*.deb")).name
    assert kennel.run(*flags, "--", "bash", "-c", "set -e; for i in a b; do echo $i | sort >/tmp/x; done; cat <(ls /) | wc -l").ok()
    code = "import os,socket,threading,tempfile; a,b=socket.socketpair(); a.send(b'x'); print(b.recv(1))"
    assert kennel.run(*flags, "--", "python3", "-c", code).ok() == "b'x'\n"
    script = "cat >/tmp/h.c && gcc -o /tmp/h /tmp/h.c && /tmp/h"
    assert kennel.run("-i", *flags, "--", "/bin/sh", "-c", script, input=HELLO).ok()
    install = f"apt-get install -y --no-install-recommends /mnt/{deb} >/tmp/out 2>&1 || {{ cat /tmp/out; exit 1; }}"
    system = ("--cap-add", "system", "-v", f"{debs}:/mnt:ro", "-e", "DEBIAN_FRONTEND=noninteractive")
    kennel.run(*system, *flags, "--", "/bin/sh", "-c", install, timeout=600).ok()
    assert kennel.run("--init", "--", "sh", "-c", "ps ax; df; free; id; sleep 0 & wait").code in (0, 127)
    time.sleep(0.1)
    assert [line for line in audit.read() if NAME.search(line)] == []


# --- profiles of one's own --------------------------------------------------------------------------------------------

OWN = """
profile {name} flags=({flags}) {{
  file,
  network,
  capability,
  signal,
  ptrace,
  audit deny /tmp/forbidden w,
}}
"""


@pytest.fixture
def own_profile():
    made = []

    def load(name, mode="attach_disconnected,mediate_deleted"):
        text = OWN.format(name=name, flags=mode).encode()
        subprocess.run(["apparmor_parser", "--config-file=/dev/null", "-K", "-r"], input=text, check=True, capture_output=True)
        made.append((name, text))
        return name

    yield load
    for _, text in made:
        subprocess.run(["apparmor_parser", "--config-file=/dev/null", "-R"], input=text, check=True, capture_output=True)


def test_a_profile_of_ones_own(kennel, own_profile, audit):
    name = own_profile("kennel-test-own")
    flags = ("--security-opt", f"apparmor={name}")
    container = kennel.start_container(*flags)
    assert label(pid_of(kennel, container)) == f"{name} (enforce)"
    assert kennel.kennel("exec", container, "cat", "/proc/self/attr/current").ok().strip() == f"{name} (enforce)"
    result = kennel.kennel("exec", container, "/bin/sh", "-c", ">/tmp/forbidden")
    assert result.code != 0 and "ermission denied" in result.stderr
    audit.expect(name, name="/tmp/forbidden")
    kennel.call("Remove", container=container, force=True)
    assert f"{name} (enforce)" in (ROOT / "profiles").read_text(), "one's own profile stays"


@pytest.mark.parametrize("name", ["kennel-test-unknown", "kenneld"])
def test_an_unknown_profile_is_refused(kennel, name):
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", command=["true"], apparmorProfile=name)
    assert e.value.parameters["field"] == "apparmorProfile"
    assert name in e.value.parameters["reason"] and "expected" in e.value.parameters["reason"]


def test_a_profile_in_complain_mode_is_refused(kennel, own_profile):
    name = own_profile("kennel-test-complain", "attach_disconnected,complain")
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", command=["true"], apparmorProfile=name)
    assert "complain" in e.value.parameters["reason"]


def test_unconfined_for_root(kennel):
    container = kennel.start_container("--security-opt", "apparmor=unconfined")
    assert label(pid_of(kennel, container)) == "unconfined"


# --- profiles come and go ---------------------------------------------------------------------------------------------


def test_profiles_go_with_their_containers(kennel):
    before = set(loaded())
    for _ in range(20):
        kennel.run("--", "true").ok()
    containers = [kennel.start_container() for _ in range(3)]
    assert len(set(loaded()) - before) == 3
    for container in containers:
        kennel.call("Remove", container=container, force=True)
    wait_for(lambda: set(loaded()) == before, f"{set(loaded()) - before} to go")


def test_a_start_that_fails_leaves_no_profile(kennel):
    before = set(loaded())
    assert kennel.run("--", "/nonexistent").code == 127
    wait_for(lambda: set(loaded()) == before, f"{set(loaded()) - before} to go")


def test_after_the_daemon_was_killed(make_daemon):
    """The label stays, programs started later have it, and the profile goes with the container."""
    daemon = make_daemon()
    container = daemon.start_container()
    name = profile_of(daemon, container)
    daemon.terminate(signal.SIGKILL, -signal.SIGKILL)
    assert loaded()[name] == "enforce"
    daemon.start()
    assert profile_of(daemon, container) == name
    assert daemon.kennel("exec", container, "cat", "/proc/self/attr/current").ok().strip() == f"{name} (enforce)"
    daemon.call("Remove", container=container, force=True)
    wait_for(lambda: name not in loaded(), "the profile to go")


def test_what_is_kept_is_roots_and_taken_again(make_daemon):
    """Compiled once for the same text, parser and kernel; a damaged one is compiled anew."""
    daemon = make_daemon(config="id-ranges = 8\n")
    daemon.run("--", "true").ok()
    directory = daemon.data / "apparmor"
    assert directory.stat().st_mode & 0o7777 == 0o700
    key = [d for d in directory.iterdir() if d.name != "work"]
    assert len(key) == 1
    kept = wait_for(lambda: [p for p in key[0].glob("kennel-*") if p.name != "kennel-0"], "compiled profiles")
    before = {p.name: p.stat().st_mtime_ns for p in key[0].iterdir()}
    assert len(before) % 4 == 0
    for path in kept:
        path.write_bytes(b"damaged")
        os.utime(path, ns=(0, 0))
    (directory / "0123456789abcdef").mkdir()
    daemon.terminate()
    daemon.start()
    assert not (directory / "0123456789abcdef").exists(), "what another kernel's parser made is removed"
    container = daemon.start_container()
    profile = profile_of(daemon, container)
    assert (key[0] / profile).stat().st_size > 1000
    assert (key[0] / "kennel-0").stat().st_mtime_ns == before["kennel-0"], "compiled again without need"
    daemon.remove_all()
