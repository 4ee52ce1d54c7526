# SPDX-License-Identifier: LGPL-2.1-or-later
"""One test for each published weakness that can exist at this stage: the condition, set up by harmless means.

Every test sets up what made another runtime fail (a link, a canary file, an argument that does nothing where it is
permitted) and asserts from the host's side that nothing got out.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import re
import socket
import stat
import subprocess
import threading

import pytest
from kenneld import KENNEL, KENNELD, host_pids_of, read_terminal, wait_for
from varlink import VarlinkError


def copy_root(busybox_root, path):
    subprocess.run(["cp", "-a", busybox_root, path], check=True)
    return path


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Exchange:
    """Swaps two names without pause while the block runs (renameat2, RENAME_EXCHANGE)."""

    def __init__(self, a, b):
        self.arguments = ["/usr/bin/python3", "-c", self.PROGRAM, a, b]

    PROGRAM = """
import ctypes, sys
libc = ctypes.CDLL(None)
a, b = (x.encode() for x in sys.argv[1:])
print("ready", flush=True)
while True:
    libc.renameat2(-100, a, -100, b, 2)
"""

    def __enter__(self):
        self.process = subprocess.Popen(self.arguments, stdout=subprocess.PIPE)
        self.process.stdout.readline()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_cve_2016_9962_who_joins_cannot_be_traced(kennel, probe):
    """Root inside traces and reads /proc/N/fd of whatever is exec'd beside it: never a descriptor of the host."""
    flags = ("--cap-add", "SYS_PTRACE", "-v", f"{probe}:/mnt:ro")
    container = kennel.start_container(*flags, command=("/mnt/probe", "ptrace", "4"))
    while kennel.inspect(container)["container"]["state"] == "running":
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: kennel.kennel("exec", container, "true").code, range(16)))
    seen = {line.split(" ", 2)[2] for line in kennel.kennel("logs", container).ok().splitlines()}
    strange = {s for s in seen if not re.match(r"pipe:|/dev/null$|/dev/pts/|socket:\[\d+\]$", s) and not s.startswith("/proc")}
    inside = {s for s in strange if s.startswith(("/usr", "/lib", "/etc", "/bin", "/mnt"))}
    assert strange - inside == set(), strange - inside


@pytest.mark.parametrize("what", ["tiocsti"])
def test_bubblewrap_2017_5226_and_2019_10063_terminal_injection(kennel, probe, what):
    out = kennel.run("-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", what).ok()
    assert [line.split()[1] for line in out.splitlines()] == ["EPERM"] * 4


def test_cve_2018_15664_a_path_that_is_swapped_during_a_start(kennel, busybox_root, scratch):
    """A volume's target is, in turn, a directory and a link to a directory of the host."""
    root = copy_root(busybox_root, scratch / "root")
    (scratch / "canary").mkdir()
    (root / "target").mkdir()
    (root / "link").symlink_to(scratch / "canary")
    (scratch / "data").mkdir()
    before = pathlib.Path("/proc/self/mountinfo").read_text()
    with Exchange(root / "target", root / "link"):
        for _ in range(30):
            result = kennel.run("--rootfs", root, "-v", f"{scratch}/data:/target/x", "--", "/bin/sh", "-c", "touch /target/x/in")
            assert result.code in (0, 1, 125), result
            assert list((scratch / "canary").iterdir()) == []
    assert pathlib.Path("/proc/self/mountinfo").read_text() == before


def test_cve_2019_14271_no_library_of_the_image_is_loaded(kennel, busybox_root, scratch):
    """A library that leaves a canary when it is loaded stands wherever a lookup by name would look for it."""
    root = copy_root(busybox_root, scratch / "root")
    source = scratch / "nss.c"
    source.write_text(
        '#include <fcntl.h>\n#include <unistd.h>\n__attribute__((constructor)) static void loaded(void)'
        '{ close(open("/canary", O_CREAT | O_WRONLY, 0600)); write(2, "LOADED\\n", 7); }\n'
    )
    for directory in ("lib", "lib64", "lib/x86_64-linux-gnu", "usr/lib"):
        (root / directory).mkdir(parents=True, exist_ok=True)
        target = root / directory / "libnss_files.so.2"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", target, source], check=True, capture_output=True)
        for name in ("libnss_systemd.so.2", "libnss_compat.so.2", "libseccomp.so.2", "libgcc_s.so.1"):
            (root / directory / name).symlink_to("libnss_files.so.2")
    (root / "etc" / "nsswitch.conf").write_text("passwd: files systemd compat\ngroup: files systemd\n")
    for flags in (("-u", "alice"), ("-u", "alice:staff"), ()):
        result = kennel.run("--rootfs", root, *flags, "--", "ls", "/")
        assert result.code == 0 and "canary" not in result.stdout
        assert "LOADED" not in result.stderr + kennel.log()
    assert not pathlib.Path("/canary").exists()


def test_cve_2019_5736_the_runtimes_binary(kennel, busybox_root, scratch):
    """The image's program is `#!/proc/self/exe`: the payload would be the runtime. Its binary stays as it is."""
    root = copy_root(busybox_root, scratch / "root")
    for name, text in (("entry", "#!/proc/self/exe\n"), ("overwrite", "#!/bin/sh\nfor p in /proc/[0-9]*/exe; do (: >>$p) 2>/dev/null && readlink $p; done; :\n")):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    before = {p: digest(p) for p in (KENNELD, KENNEL)}
    for flags in ((), ("--init",)):
        assert kennel.run("--rootfs", root, *flags, "--", "/entry").code != 0
        out = kennel.run("--rootfs", root, *flags, "--", "/overwrite")
        assert "kennel" not in out.stdout
    container = kennel.start_container("--rootfs", root)
    kennel.kennel("exec", container, "/entry")
    kennel.kennel("exec", container, "/overwrite")
    assert {p: digest(p) for p in before} == before


def test_cve_2019_16884_and_others_a_proc_of_the_images_own(kennel, busybox_root, scratch):
    """/proc of the image is a link, and a volume is asked for on it: the container's /proc is the daemon's own."""
    root = copy_root(busybox_root, scratch / "root")
    (scratch / "fake" / "self").mkdir(parents=True)
    (scratch / "fake" / "self" / "status").write_text("canary\n")
    (root / "proc").rmdir()
    (root / "proc").symlink_to("/tmp/fake")
    out = kennel.run("--rootfs", root, "--", "cat", "/proc/self/status")
    if out.code == 0:
        assert "NoNewPrivs:\t1" in out.stdout and "Seccomp:\t2" in out.stdout
    else:
        assert out.code == 125
    for target in ("/proc", "/proc/self", "/proc/sys/kernel", "/usr/../proc", "//proc/"):
        assert kennel.run("-v", f"{scratch}/fake:{target}", "--", "cat", "/proc/self/status").code == 125, target


def test_cve_2020_15257_no_abstract_sockets(kennel):
    kennel.start_container()
    names = [line.split()[-1] for line in open("/proc/net/unix") if "@" in line]
    assert not [n for n in names if "kennel" in n.lower()]
    out = kennel.run("--network", "host", "--", "grep", "@", "/proc/net/unix").stdout
    assert "kennel" not in out.lower()
    opened = {os.readlink(f"/proc/{kennel.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{kennel.process.pid}/fd")}
    inodes = {line.split()[6] for line in open("/proc/net/unix") if "@" in line}
    assert not [o for o in opened if o.startswith("socket:") and o[8:-1] in inodes]


@pytest.mark.parametrize("network", ["none", "host"])
def test_cve_2020_13401_raw_sockets(kennel, probe, network):
    out = kennel.run("--network", network, "-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "raw-socket").ok()
    assert out.strip() in ("EPERM", "EACCES")


def test_cve_2021_30465_two_containers_race_on_one_volume(kennel, busybox_root, scratch):
    """One container swaps a directory of a shared volume for a link while others are mounted below it."""
    shared = scratch / "shared"
    (shared / "a").mkdir(parents=True)
    (shared / "b").symlink_to("/")
    swap = "while :; do mv -T /s/b /s/c; mv -T /s/a /s/b; mv -T /s/c /s/a; mv -T /s/b /s/c; mv -T /s/a /s/b; mv -T /s/c /s/a; done 2>/dev/null"
    kennel.start_container("--rootfs", busybox_root, "-v", f"{shared}:/s", command=("/bin/sh", "-c", swap))
    before = pathlib.Path("/proc/self/mountinfo").read_text()
    canary = scratch / "canary"
    canary.mkdir()
    own = {line.split()[4] for line in kennel.run("--", "cat", "/proc/self/mountinfo").ok().splitlines()}
    for _ in range(20):
        out = kennel.run("-v", f"{shared}:/s", "--tmpfs", "/s/a/x", "-v", f"{canary}:/s/a/y", "--", "cat", "/proc/self/mountinfo")
        assert out.code in (0, 125), out
        for line in out.stdout.splitlines():
            target = line.split()[4]
            # /s/a may be a link to the container's own root just then: inside, that is where it leads
            assert target in own or target.startswith(("/s", "/x", "/y", "/proc", "/dev", "/sys")), line
    assert pathlib.Path("/proc/self/mountinfo").read_text() == before


def test_cve_2022_0492_no_cgroup_v1_inside(kennel, probe):
    out = kennel.run("--", "cat", "/proc/self/mountinfo").ok()
    assert " - cgroup " not in out
    out = kennel.run("-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "unshare-user").ok()
    assert out.strip() == "EPERM"
    assert kennel.run("--cap-add", "SYS_ADMIN", "--", "/bin/sh", "-c", "mount -t cgroup -o memory x /tmp").code != 0
    assert kennel.run("--", "find", "/sys/fs/cgroup", "-name", "release_agent").stdout == ""


def test_cve_2022_0185_the_new_mount_calls(kennel, probe):
    names = ["fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "move_mount", "mount_setattr"]
    for flags in ((), ("--cap-add", "SYS_ADMIN")):
        out = kennel.run(*flags, "-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "syscalls", *names).ok()
        assert {line.split()[1] for line in out.splitlines()} == {"EPERM"}, out


def test_cve_2022_29162_inheritable_capabilities(kennel):
    container = kennel.start_container("--cap-add", "system")
    pid = kennel.inspect(container)["container"]["pid"]
    texts = [pathlib.Path(f"/proc/{pid}/status").read_text(), kennel.kennel("exec", container, "cat", "/proc/self/status").ok()]
    for text in texts:
        sets = dict(re.findall(r"^(Cap\w+):\s+(\w+)$", text, re.M))
        assert sets["CapInh"] == sets["CapAmb"] == "0" * 16
        assert sets["CapPrm"] == sets["CapEff"] == sets["CapBnd"] != "0" * 16


def test_cve_2023_25809_cgroupfs_cannot_be_written(kennel):
    script = "find / -name cgroup.procs 2>/dev/null | while read f; do (echo 0 >$f) 2>/dev/null && echo wrote $f; done; cat /proc/self/cgroup"
    out = kennel.run("--cap-add", "DAC_OVERRIDE", "--", "/bin/sh", "-c", script).ok()
    assert "wrote" not in out and "0::/\n" in out


def test_cve_2024_21626_the_working_directory_is_inside(kennel):
    for n in range(0, 64):
        result = kennel.run("-w", f"/proc/self/fd/{n}", "--", "pwd")
        assert result.code == 125, (n, result)
    container = kennel.start_container()
    for n in range(3, 16):
        result = kennel.kennel("exec", "-w", f"/proc/self/fd/{n}", container, "pwd")
        assert result.code == 125, (n, result)
    assert kennel.run("--", "ls", "-l", "/proc/self/fd").ok().count("->") == 4, "0, 1, 2 and ls's own"


def test_cve_2024_23652_clean_up_does_not_follow_a_path_out(kennel, busybox_root, scratch):
    """Before it ends, the container fills its layer with links to the host, and deep and odd names."""
    (scratch / "canary").write_text("x")
    script = f"""
    mkdir -p /a/b; ln -s {scratch} /a/link; ln -s / /a/root; ln -s ../../../../../../../../../.. /a/up
    rm -rf /home; ln -s {scratch} /home; rm -rf /tmp; ln -s {scratch} /tmp
    i=0; d=/deep; while [ $i -lt 200 ]; do d=$d/d; i=$((i+1)); done; mkdir -p $d
    touch "$(printf 'a\\nb')" -- -rf; chmod 0 /a
    """
    kennel.run("--rootfs", busybox_root, "--", "/bin/sh", "-c", script).ok()
    assert (scratch / "canary").read_text() == "x"
    wait_for(lambda: kennel.containers() == [], "the container to be removed")
    assert list((kennel.data / "containers").iterdir()) == []


def test_cve_2024_41110_one_parser_for_authoriser_and_actor(kennel):
    """Two values for one key: neither is acted upon."""
    with kennel.connect() as c:
        for body in (
            b'{"method":"io.kennel.Run","parameters":{"command":["true"],"command":["false"]}}',
            b'{"method":"io.kennel.List","parameters":{},"parameters":{"x":1}}',
            b'{"method":"io.kennel.List","method":"io.kennel.Run","parameters":{"command":["true"]}}',
            b"",
        ):
            with kennel.connect() as c, pytest.raises(VarlinkError) as e:
                c.send_bytes(body + b"\0")
                c.receive()
            assert e.value.short == "MalformedMessage"
    assert kennel.containers() == []


def test_cve_2025_31133_masks_stay_masks(kennel, busybox_root, scratch):
    """The image's /dev/null is a link to a canary: what masks /proc's files is the host's real device all the same."""
    root = copy_root(busybox_root, scratch / "root")
    (root / "dev" / "null").symlink_to("/etc/passwd")
    out = kennel.run("--rootfs", root, "--", "/bin/sh", "-c", "stat -c '%t:%T' /dev/null; cat /proc/interrupts /proc/keys | head -c 10")
    assert out.stdout == "1:3\n", out
    with Exchange(root / "dev", root / "usr"):
        for _ in range(15):
            out = kennel.run("--rootfs", root, "--", "/bin/sh", "-c", "stat -c '%t:%T' /dev/null; head -c 10 /proc/keys")
            # 0:0: the image's own link, where the directory was exchanged under the mount; the mask is empty all the same
            assert out.code in (0, 1, 125) and out.stdout in ("1:3\n", "0:0\n", ""), out
    assert os.stat("/dev/null").st_rdev == os.makedev(1, 3)


def test_cve_2025_52565_the_terminal_is_bound_by_descriptor(kennel, busybox_root, scratch):
    root = copy_root(busybox_root, scratch / "root")
    (root / "dev" / "pts").symlink_to("/etc")
    (root / "dev" / "console").symlink_to("/etc/passwd")
    with kennel.connect() as c:
        fd = os.open(root, os.O_PATH)
        command = ["/bin/sh", "-c", "stat -c %t /dev/pts/0; test -c /dev/console && stat -c %t /dev/console; exit 3"]
        c.send("Run", {"command": command, "rootfs": 0, "terminal": {"rows": 9, "columns": 9}, "remove": True}, [fd], more=True)
        os.close(fd)
        c.receive("Run")
        text = read_terminal(c.fds[0])
        assert c.receive("Run")[0]["container"]["exit"]["code"] == 3
    assert set(text.split()) == {b"88"}, text  # major 136: ptys


def test_cve_2025_52881_proc_attributes(kennel):
    """A tmpfs or volume over /proc/self/attr would swallow the label's write: no mount on /proc is taken."""
    for target in ("/proc/self/attr", "/proc/self", "/proc/thread-self/attr/exec"):
        assert kennel.run("--tmpfs", target, "--", "true").code == 125


def test_cve_2024_25621_directories_of_the_state(kennel):
    container = kennel.start_container()
    for top in (kennel.state / "containers", kennel.data):
        assert stat.S_IMODE(top.stat().st_mode) & 0o077 == 0
    # below the directory that nobody else may enter, the pipes alone are open: the payload's own user opens them again
    # as /dev/stdout and /dev/stderr
    for base, _, files in os.walk(kennel.state / "containers"):
        for name in files:
            mode = os.lstat(os.path.join(base, name)).st_mode
            assert stat.S_ISFIFO(mode) or stat.S_IMODE(mode) & 0o007 == 0, name
    assert container in os.listdir(kennel.state / "containers")


@pytest.mark.unsanitized
def test_cve_2025_64329_attach_and_detach_cost_nothing(kennel):
    container = kennel.start_container()

    def cost():
        text = pathlib.Path(f"/proc/{kennel.process.pid}/status").read_text()
        descriptors = len(os.listdir(f"/proc/{kennel.process.pid}/fd"))
        return descriptors, int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    def attach(n):
        for _ in range(n):
            with kennel.connect() as c:
                c.send("Logs", {"container": container, "follow": True}, more=True)

    attach(200)
    kennel.call("List")
    descriptors, memory = cost()
    attach(2000)
    kennel.call("List")
    # but for those of the first look at the container, which may have come in between
    wait_for(lambda: cost()[0] <= descriptors + 32, "descriptors to be as before")
    assert cost()[1] < memory + 4096, "KiB"


def test_runc_2026_41579_dev_of_the_image_is_a_link(kennel, busybox_root, scratch):
    root = copy_root(busybox_root, scratch / "root")
    (root / "dev").rmdir()
    victim = scratch / "victim"
    victim.mkdir()
    (root / "dev").symlink_to(victim)
    kennel.run("--rootfs", root, "--", "true")
    assert list(victim.iterdir()) == []
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755


@pytest.mark.parametrize("user", ["", "4294967296", "18446744073709551616", "0x0", "1junk", "1 ", "-1", "1:1:1", "１"])
def test_crun_2026_30892_exec_user_is_read_strictly(kennel, user):
    container = kennel.start_container("-u", "1000")
    assert kennel.kennel("exec", "-u", user, container, "id", "-u").code == 125


def test_metadata_of_the_image_is_hostile(kennel, busybox_root, scratch):
    """/etc/passwd and /etc/group of the image: links, devices, endless lines, ids beyond the range."""
    passwds = {
        "long": "a" * (5 << 20),
        "overflow": "alice:x:4294967296:0::/:/bin/sh\n",
        "outside": "alice:x:70000:0::/:/bin/sh\n",
        "negative": "alice:x:-1:0::/:/bin/sh\n",
        "short": "alice\nalice:x\nalice:x:1\n",
        "nul": "alice:x:0\0:0::/:/bin/sh\n",
    }
    for name, text in passwds.items():
        root = copy_root(busybox_root, scratch / name)
        (root / "etc" / "passwd").write_text(text)
        assert kennel.run("--rootfs", root, "-u", "alice", "--", "id").code == 125, name
        kennel.run("--rootfs", root, "--", "true").ok()
    for name in ("link", "fifo", "directory"):
        root = copy_root(busybox_root, scratch / name)
        path = root / "etc" / "passwd"
        path.unlink()
        if name == "link":
            path.symlink_to("/proc/self/root/../../../../../../etc/passwd")
        elif name == "fifo":
            os.mkfifo(path)
        else:
            path.mkdir()
        assert kennel.run("--rootfs", root, "-u", "alice", "--", "id").code == 125, name


def test_lxc_2022_47952_errors_do_not_tell_what_exists(kennel, scratch):
    """Files of the host behind the daemon's back: the client opens with the user's rights, paths are root's alone."""
    result = kennel.run("--rootfs", "/root/../no/such", "--", "true")
    assert result.code == 125


def test_bubblewrap_2016_8659_the_set_up_cannot_be_traced(kennel):
    """The daemon, and what it starts before the program runs, is not dumpable."""
    maps = pathlib.Path(f"/proc/{kennel.process.pid}")
    assert maps.stat().st_uid == 0
    container = kennel.start_container("-u", "1000")
    pid = kennel.inspect(container)["container"]["pid"]
    base = int(pathlib.Path(f"/proc/{pid}/uid_map").read_text().split()[1])
    code = (
        "import ctypes, os, sys\n"
        f"os.setgroups([]); os.setresgid({base}, {base}, {base}); os.setresuid({base}, {base}, {base})\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"sys.exit(0 if libc.ptrace(0x4206, {kennel.process.pid}, 0, 0) == -1 else 1)\n"
    )
    assert subprocess.run(["/usr/bin/python3", "-c", code], check=False).returncode == 0


def test_a_signal_reaches_no_process_of_another_container(kennel):
    one, two = kennel.start_container("--name", "one"), kennel.start_container("--name", "two")
    kennel.kennel("exec", "one", "/bin/sh", "-c", "kill -9 -1; :")
    assert host_pids_of(two)
    assert kennel.inspect(two)["container"]["state"] == "running"
    assert kennel.inspect(one)["container"]["state"] in ("running", "exited")


def test_sockets_of_the_host_on_its_file_system_are_out_of_reach(kennel, scratch):
    path = scratch / "socket"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        result = kennel.run("--", "/usr/bin/python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})")
        assert result.code == 1
    assert threading.active_count() >= 1
