# SPDX-License-Identifier: LGPL-2.1-or-later
"""SELinux, enforcing: what a container's label alone keeps it from, and that it keeps nobody from ordinary work.

Each refusal has its counterpart beside it: the same with the label that should be allowed, so that it is no permission,
no namespace and no missing file that refuses. What SELinux refuses it also logs, and that line is looked for.
"""

import concurrent.futures
import contextlib
import ctypes
import grp
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest
from kenneld import PATIENCE, SELINUX, host_pids_of, label, wait_for

ENFORCING = SELINUX and pathlib.Path("/sys/fs/selinux/enforce").read_text() == "1"
pytestmark = pytest.mark.skipif(not ENFORCING, reason="SELinux is not enforcing here: see /sys/fs/selinux/enforce")

SHARED = "system_u:object_r:kennel_share_t:s0"
PAIR = re.compile(r"s0:c(\d+),c(\d+)$")
RATELIMIT = pathlib.Path("/proc/sys/kernel/printk_ratelimit")


def label_of(path):
    return os.getxattr(path, "security.selinux", follow_symlinks=False).rstrip(b"\0").decode()


def context_of(pid):
    return pathlib.Path(f"/proc/{pid}/attr/current").read_text().rstrip("\0\n")


def pid_of(kennel, container):
    return kennel.inspect(container)["container"]["pid"]


def level_of(kennel, container):
    return context_of(pid_of(kennel, container)).split(":", 3)[3]


class Denials:
    """What SELinux refused since this was made, or since the last look: lines of the kernel's log."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)

    def take(self):
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(os.read(self.fd, 8192).decode(errors="replace").strip())
        return [l for l in lines if "avc:  denied" in l and "kennel" in l]


@pytest.fixture
def denials():
    before = RATELIMIT.read_text()
    RATELIMIT.write_text("0")
    d = Denials()
    yield d
    os.close(d.fd)
    RATELIMIT.write_text(before)


# --- labels -----------------------------------------------------------------------------------------------------------


def test_the_daemon_is_in_its_domain(kennel):
    assert context_of(kennel.process.pid).split(":")[2] == "kenneld_t"


def test_each_container_has_a_pair_of_its_own(kennel):
    levels = []
    for _ in range(2):
        user, role, domain, level = context_of(pid_of(kennel, kennel.start_container())).split(":", 3)
        assert (role, domain) == ("system_r", "kennel_container_t")
        low, high = map(int, PAIR.match(level).groups())
        assert 0 <= low < high < 1024
        levels.append(level)
    assert levels[0] != levels[1]


def test_exec_and_init_have_the_label_too(kennel):
    container = kennel.start_container("--init")
    own = context_of(pid_of(kennel, container))
    assert {context_of(pid) for pid in host_pids_of(container)} == {own}
    assert kennel.kennel("exec", container, "cat", "/proc/self/attr/current").ok().rstrip("\0\n") == own


def test_files_on_disk_carry_the_pair(kennel, busybox_root):
    script = "echo x >/root/new; mkdir /root/d; ln -s x /root/l; mkfifo /root/f; echo alice >>/etc/passwd; exec sleep 1000"
    container = kennel.start_container("--rootfs", busybox_root, command=("sh", "-c", script))
    expected = f"system_u:object_r:kennel_file_t:{level_of(kennel, container)}"
    [pid] = host_pids_of(container)
    wait_for(lambda: pathlib.Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "the script's end")
    if kennel.inspect(container)["storage"] == "fileSystem":
        pytest.skip("the layer is a file system of its own, which is mounted in no namespace: see kennel inspect")
    found = {p.name: label_of(p) for p in (kennel.data / "containers" / container).rglob("*")}
    for name in ("new", "d", "l", "f", "passwd", "root", "upper"):  # passwd: copied up, not new
        assert found[name] == expected, name
    # and as it sees them
    for path in ("/", "/root/new", "/etc/group", "/dev", "/dev/null", "/dev/shm", "/dev/pts"):
        assert label_of(f"/proc/{pid}/root{path}") == expected, path


def test_tmpfs_and_read_only_roots(kennel):
    container = kennel.start_container("--read-only", "--tmpfs", "/tmp")
    pid = pid_of(kennel, container)
    assert label_of(f"/proc/{pid}/root/tmp") == f"system_u:object_r:kennel_file_t:{level_of(kennel, container)}"
    for path in ("/", "/usr", "/usr/bin/env", "/etc/passwd"):
        assert label_of(f"/proc/{pid}/root{path}") == "system_u:object_r:kennel_image_t:s0"


# --- one container and another ----------------------------------------------------------------------------------------

SERVER = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1]); s.listen(); print("listening", flush=True)
while True: s.accept()[0].sendall(b"secret")
"""
CLIENT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(100))"


@pytest.fixture
def neighbours(kennel, scratch):
    """Two containers that root started, so that ids on disk mean the same in both; one directory that both see, and in it
    one each that is private (:Z)."""
    made = []
    for name in ("a", "b"):
        own = scratch / name
        own.mkdir(mode=0o777)
        (own / "secret").write_text("secret")
        (own / "secret").chmod(0o666)
    for name in ("a", "b"):
        flags = ("-v", f"{scratch}:/all", "-v", f"{scratch / name}:/own:Z", "--name", name)
        made.append(kennel.start_container(*flags))
    return made


def test_files(kennel, neighbours, denials):
    a, b = neighbours
    level_a, level_b = level_of(kennel, a), level_of(kennel, b)
    assert kennel.kennel("exec", b, "cat", "/all/b/secret").ok() == "secret"
    assert kennel.kennel("exec", a, "cat", "/all/a/secret").ok() == "secret"
    denials.take()
    for command in (["cat", "/all/b/secret"], ["ls", "/all/b"], ["touch", "/all/b/new"], ["rm", "/all/b/secret"]):
        result = kennel.kennel("exec", a, *command)
        assert result.code != 0 and "Permission denied" in result.stderr, result
    lines = denials.take()
    assert lines and all(f":{level_a} " in l and f":kennel_file_t:{level_b} " in l for l in lines), lines


def test_a_descriptor_does_not_help(kennel, scratch, denials):
    """Standard input is B's file, opened by root and passed in: still not A's to read."""

    def logged(name):
        with open(scratch / name, "rb") as file, kennel.connect() as c:
            container = c.call("Run", (file.fileno(),), command=["cat"], stdin=0)["container"]["id"]
        kennel.wait_exited(container)
        return kennel.kennel("logs", container).ok()

    (scratch / "f").write_text("secret")
    (scratch / "g").write_text("public")
    kennel.start_container("-v", f"{scratch / 'f'}:/f:Z")
    denials.take()
    assert logged("g") == "public"
    assert denials.take() == []
    assert logged("f") == ""
    assert any("{ read }" in l and ":kennel_file_t:" in l for l in denials.take())


def test_sockets(kennel, neighbours, denials):
    """The socket's file lies in the directory that both may write to: it is the process behind it that is B's."""
    a, b = neighbours
    server = kennel.popen("exec", b, "python3", "-c", SERVER, "/all/socket")
    try:
        assert server.stdout.readline() == b"listening\n"
        assert kennel.kennel("exec", b, "python3", "-c", CLIENT, "/all/socket").ok() == "b'secret'\n"
        denials.take()
        result = kennel.kennel("exec", a, "python3", "-c", CLIENT, "/all/socket")
        assert result.code != 0 and "PermissionError" in result.stderr, result
        [line] = denials.take()
        assert "{ connectto }" in line and level_of(kennel, a) in line and level_of(kennel, b) in line
    finally:
        server.kill()
        server.communicate()


@pytest.fixture(scope="module")
def intruder(cache_directory):
    """tests/integration/intruder.c, compiled, with the label of what containers execute."""
    path = cache_directory / "intruder"
    source = pathlib.Path(__file__).with_name("intruder.c")
    flags = ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    subprocess.run(["cc", *flags, "-o", path, source], check=True)
    label(path, "kennel_image_t")
    return path


def intrude(program, context, pid):
    """Runs it with CONTEXT as root of the namespaces of PID, whose first process that is: every permission that there is but
    SELinux's. What it printed, as a table."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            file = os.open(program, os.O_RDONLY)
            spaces = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in ("pid", "user")]
            os.dup2(write, 1)
            os.set_inheritable(file, True)
            libc = ctypes.CDLL(None, use_errno=True)
            for space in spaces:
                assert libc.setns(space, 0) == 0, os.strerror(ctypes.get_errno())
            inner = os.fork()
            if inner:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            pathlib.Path("/proc/thread-self/attr/exec").write_text(context)
            os.execve(file, ["intruder", "1", str(pid)], {})
        except BaseException as e:  # pylint: disable=broad-except
            os.write(2, f"{e!r}\n".encode())
        os._exit(code)
    os.close(write)
    with open(read, encoding="ascii") as output:
        text = output.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"{code}: {text}"
    return dict(line.split() for line in text.splitlines())


def test_processes(kennel, intruder, denials):
    a, b = pid_of(kennel, kennel.start_container()), pid_of(kennel, kennel.start_container())
    permitted = intrude(intruder, context_of(b), b)
    assert set(permitted.values()) == {"ok"}, permitted
    denials.take()
    refused = intrude(intruder, context_of(a), b)
    assert set(refused) == set(permitted) and set(refused.values()) <= {"EACCES", "EPERM"}, refused
    lines = denials.take()
    for permission in ("signull", "signal", "getpgid", "getsched", "ptrace"):
        assert any(f"{{ {permission} }}" in l and f"scontext={context_of(a)} " in l and context_of(b) in l for l in lines), lines
    # from A into B as into A from B
    assert set(intrude(intruder, context_of(b), a).values()) <= {"EACCES", "EPERM"}


# --- ordinary work ----------------------------------------------------------------------------------------------------


def test_ordinary_work_is_not_refused(kennel, scratch, denials):
    script = """
        set -e
        cd /tmp; echo a | cat >file; mkdir d; mv file d; ln -s d l; ls -lR / >/dev/null 2>&1 || :
        cat /proc/self/status /proc/meminfo /proc/net/dev /proc/mounts >/dev/null; ps ax >/dev/null; df >/dev/null
        python3 -c 'import socket, tempfile, multiprocessing as m; s = socket.create_server(("127.0.0.1", 0)); \
            socket.create_connection(s.getsockname()); print(m.Pool(2).map(abs, [-1, -2]))'
        [ -c /dev/null ] && head -c 10 /dev/urandom >/dev/null; echo x >&2; sleep 0.1 & wait
    """
    kennel.run("--cap-add", "system", "--", "bash", "-c", script).ok()
    kennel.run("-t", "--", "bash", "-c", "tty; stty size; echo x >/dev/tty")
    container = kennel.start_container("--network", "bridge", "-p", "127.0.0.1:18099:8000", "-m", "128M", "--disk", "64M",
                                       "-v", f"{scratch}:/mnt:z", command=("python3", "-m", "http.server", "8000"))
    def serves():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 18099), PATIENCE) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return s.recv(100)
        return b""
    wait_for(lambda: b"200 OK" in serves(), "the published port")
    kennel.kennel("exec", container, "sh", "-c", "touch /mnt/x; id").ok()
    for verb in (["pause"], ["unpause"], ["update", "-m", "64M"], ["stats", "--no-stream"], ["top"], ["logs"], ["stop", "-t", "0"]):
        kennel.kennel(*verb, container).ok()
    assert denials.take() == []


@pytest.mark.slow
def test_compiler_and_packages_are_not_refused(kennel, debian_root, scratch, denials):
    package = scratch / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN").chmod(0o755)
    (package / "DEBIAN" / "control").write_text("Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: n <n@n>\nDescription: x\n")
    (package / "usr/bin").mkdir(parents=True)
    (package / "usr/bin/tiny").write_text("#!/bin/sh\necho tiny\n")
    (package / "usr/bin/tiny").chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", package, scratch / "tiny.deb"], check=True, capture_output=True)
    script = """
        set -e
        cd /tmp; echo 'int main(void) { return 0; }' >m.c; gcc -o m m.c; ./m
        apt-get install -y --no-install-recommends /debs/tiny.deb >log 2>&1 || { cat log; exit 1; }
        tiny; dpkg -l tiny >/dev/null; python3 -c 'print(6 * 7)'; apt-get purge -y tiny >/dev/null 2>&1
    """
    flags = ("--rootfs", debian_root, "--cap-add", "system", "-v", f"{scratch}:/debs")
    assert kennel.run(*flags, "--", "bash", "-c", script, timeout=PATIENCE * 6).ok() == "tiny\n42\n"
    assert denials.take() == []


# --- what can be asked for --------------------------------------------------------------------------------------------


def test_a_level_that_was_asked_for(kennel):
    container = kennel.start_container("--security-opt", "label=level:s0:c7,c9")
    assert level_of(kennel, container) == "s0:c7,c9"
    result = kennel.run("--security-opt", "label=level:s0:c7,c9", "--", "true")
    assert result.code == 125 and "s0:c7,c9" in result.stderr and "another container's" in result.stderr
    kennel.kennel("rm", "-f", container).ok()
    kennel.run("--security-opt", "label=level:s0:c7,c9", "--", "true").ok()


@pytest.mark.parametrize("level", ["s0", "s0:c1", "s0:c9,c7", "s0:c1,c1024", "s0:c0.c1023", "s1:c1,c2", "s0-s0:c1,c2", "x"])
def test_a_level_that_is_none(kennel, level):
    result = kennel.run("--security-opt", f"label=level:{level}", "--", "true")
    assert result.code == 125 and level in result.stderr, result


def test_a_type_that_was_asked_for(kennel, denials):
    """The other domain has no network, not even within itself."""
    flags = ("--security-opt", "label=type:kennel_offline_t")
    assert context_of(pid_of(kennel, kennel.start_container(*flags))).split(":")[2] == "kennel_offline_t"
    script = "import socket; socket.socket(socket.AF_UNIX); print('unix', flush=True); socket.socket()"
    result = kennel.run(*flags, "--", "python3", "-c", script)
    assert result.code == 1 and result.stdout == "unix\n" and "PermissionError" in result.stderr
    assert any("{ create }" in l and "kennel_offline_t" in l for l in denials.take())


@pytest.mark.parametrize(
    "name", ["unconfined_t", "init_t", "kenneld_t", "kennel_disabled_t", "kennel_file_t", "no_such_t", "kennel_container_t:s0"]
)
def test_a_type_that_is_no_containers(kennel, name):
    result = kennel.run("--security-opt", f"label=type:{name}", "--", "true")
    assert result.code == 125 and name in result.stderr and "label.type" in result.stderr, result


def test_disabled(kennel, scratch):
    """A domain of its own all the same, and not the daemon's; it may read what no label was given."""
    (scratch / "f").write_text("x")
    label(scratch / "f", "var_t")
    flags = ("-v", f"{scratch}:/s")
    assert kennel.run(*flags, "--", "cat", "/s/f").code != 0
    flags += ("--security-opt", "label=disable")
    assert kennel.run(*flags, "--", "cat", "/s/f").ok() == "x"
    assert context_of(pid_of(kennel, kennel.start_container(*flags))).split(":")[2] == "kennel_disabled_t"


# --- volumes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def volume(scratch):
    """A tree with every kind of file, labelled as the host's other files are; and beside it what a link in it leads to."""
    tree = scratch / "tree"
    (tree / "d" / "e").mkdir(parents=True)
    (tree / "d" / "e" / "f").write_text("x")
    (scratch / "outside").write_text("outside")
    (tree / "link").symlink_to(scratch / "outside")
    os.mkfifo(tree / "fifo")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        s.bind(str(tree / "socket"))
    for path in (scratch / "outside", tree, *tree.rglob("*")):
        os.setxattr(path, "security.selinux", b"system_u:object_r:var_t:s0\0", follow_symlinks=False)
    return tree


def test_a_volume_without_a_label_is_not_readable(kennel, volume):
    result = kennel.run("-v", f"{volume}:/v", "--", "cat", "/v/d/e/f")
    assert result.code != 0 and "Permission denied" in result.stderr


def test_shared_volume(kennel, scratch, volume):
    a = kennel.start_container("-v", f"{volume}:/v:z")
    b = kennel.start_container("-v", f"{volume}:/v:z")
    assert {label_of(p) for p in (volume, *volume.rglob("*"))} == {SHARED}
    assert label_of(scratch / "outside") == "system_u:object_r:var_t:s0"
    kennel.kennel("exec", a, "sh", "-c", "echo from a >/v/new; mkdir /v/dir; ln -s new /v/newlink").ok()
    assert kennel.kennel("exec", b, "sh", "-c", "cat /v/newlink; rmdir /v/dir").ok() == "from a\n"
    assert label_of(volume / "new") == label_of(volume / "newlink") == SHARED


def test_private_volume(kennel, scratch, volume):
    a = kennel.start_container("-v", f"{volume}:/v:Z")
    expected = f"system_u:object_r:kennel_file_t:{level_of(kennel, a)}"
    assert {label_of(p) for p in (volume, *volume.rglob("*"))} == {expected}
    assert label_of(scratch / "outside") == "system_u:object_r:var_t:s0"
    assert kennel.kennel("exec", a, "cat", "/v/d/e/f").ok() == "x"
    b = kennel.start_container("-v", f"{volume}:/v")
    assert "Permission denied" in kennel.kennel("exec", b, "cat", "/v/d/e/f").stderr


@pytest.mark.parametrize("place", ["/", "/usr", "/etc", "/var", "/home", "/root", "/tmp", "/boot"])
def test_the_hosts_own_directories_are_not_relabelled(kennel, place):
    before = label_of(place)
    result = kennel.run("-v", f"{place}:/v:z", "--", "true")
    assert result.code == 125 and f"is {place};" in result.stderr, result
    assert label_of(place) == before


def test_only_the_owners_files_are_relabelled(make_daemon, volume):
    """A member of the daemon's group: only the last file is not theirs."""
    daemon, tenant = make_daemon(config="tenant-group = users"), 65531
    who = {"user": tenant, "group": tenant, "extra_groups": [grp.getgrnam("users").gr_gid]}
    for path in (volume, *volume.rglob("*")):
        os.chown(path, tenant, tenant, follow_symlinks=False)
    daemon.run("-v", f"{volume}:/v:z", "--", "true", **who).ok()
    assert {label_of(p) for p in (volume, *volume.rglob("*"))} == {SHARED}
    alien = volume / "d" / "e" / "f"
    os.chown(alien, 0, 0)
    result = daemon.run("-v", f"{volume}:/v:Z", "--", "true", **who)
    assert result.code == 125 and "d/e/f" in result.stderr and "volumes[0].relabel" in result.stderr, result
    assert label_of(alien) == SHARED


def test_depth_is_bounded(kennel, volume):
    path = os.open(volume, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("n", dir_fd=path)
        deeper = os.open("n", os.O_RDONLY, dir_fd=path)
        os.close(path)
        path = deeper
    os.close(path)
    result = kennel.run("-v", f"{volume}:/v:z", "--", "true")
    assert result.code == 125 and "deeper than" in result.stderr, result
    subprocess.run(["rm", "-rf", str(volume)], check=True)


# --- pairs ------------------------------------------------------------------------------------------------------------


def test_pairs_outlive_the_daemon(daemon):
    container = daemon.start_container()
    before = context_of(pid_of(daemon, container))
    level = before.split(":", 3)[3]
    daemon.terminate(signal.SIGKILL, expected=-signal.SIGKILL)
    daemon.start()
    assert context_of(pid_of(daemon, container)) == before
    assert daemon.kennel("exec", container, "cat", "/proc/self/attr/current").ok().rstrip("\0\n") == before
    taken = daemon.run("--security-opt", f"label=level:{level}", "--", "true")
    assert taken.code == 125 and "another container's" in taken.stderr
    daemon.kennel("rm", "-f", container).ok()
    daemon.run("--security-opt", f"label=level:{level}", "--", "true").ok()


def test_two_daemons_share_no_pair(make_daemon):
    """Also not with one that starts after the other's end: the containers run on."""
    one = make_daemon()
    container = one.start_container()
    level = level_of(one, container)

    def is_refused():
        other = make_daemon()
        result = other.run("--security-opt", f"label=level:{level}", "--", "true")
        return result.code == 125 and "another container's" in result.stderr

    assert is_refused()
    one.terminate(signal.SIGKILL, expected=-signal.SIGKILL)
    assert is_refused()
    one.start()
    assert level_of(one, container) == level


@pytest.mark.slow
def test_500_containers_never_share_a_pair(make_daemon, busybox_root):
    """50 at a time, started and removed together, each over a connection of its own."""
    daemon = make_daemon(config="starts-max = 64")

    def start(connection):
        return connection.call("Run", command=["sleep", "1000"], rootfsPath=str(busybox_root))["container"]

    def remove(connection, container):
        connection.call("Remove", container=container["id"], force=True)

    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(daemon.connect(check=False, timeout=PATIENCE * 5)) for _ in range(50)]
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(50))
        for _ in range(10):
            containers = list(pool.map(start, connections))
            daemon.ids.update(c["id"] for c in containers)
            levels = [context_of(c["pid"]).split(":", 3)[3] for c in containers]
            assert all(map(PAIR.match, levels)), levels
            assert len(set(levels)) == 50, sorted(levels)
            list(pool.map(remove, connections, containers))
