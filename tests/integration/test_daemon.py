# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon as a service: readiness, socket activation, its end and its successor, neighbours."""

import ctypes
import grp
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

import pytest
from kenneld import BUILD, KENNELD, PATIENCE, REPOSITORY, SLOWNESS, Kenneld, controllers, host_pids_of, wait_for
from varlink import Connection

ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="varlink")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_version_and_bad_arguments(kennel):
    out = subprocess.run([KENNELD, "--version"], capture_output=True, text=True, check=False)
    assert out.returncode == 0 and "0." in out.stdout
    for arguments in (["--nonsense"], ["--log-level", "loud"], ["--socket", "relative/x"], ["--config", "/no/such"], ["x"]):
        out = subprocess.run([KENNELD, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert out.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT), arguments
        assert arguments[-1].lstrip("-") in out.stderr, (arguments, out.stderr)


def test_bad_configuration_is_named(make_daemon, scratch):
    for text in ("{", "nonsense = 1", "id-base = 1", "id-base = 70000x", "id-base = 70000\nid-base = 70000", "starts-max"):
        path = scratch / "conf"
        path.write_text(text)
        out = subprocess.run(
            [KENNELD, "--socket", scratch / "s", "--state-dir", scratch / "st", "--data-dir", scratch / "d", "--config", path],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert out.returncode > 0 and str(path) in out.stderr, (text, out)


def test_directories_and_socket_are_closed_to_others(daemon):
    daemon.start_container()
    assert stat.S_IMODE(daemon.socket.stat().st_mode) & 0o007 == 0
    for directory in (daemon.state / "containers", daemon.data):
        assert stat.S_IMODE(directory.stat().st_mode) & 0o077 == 0, directory
        assert directory.stat().st_uid == 0
    assert stat.S_IMODE(daemon.state.stat().st_mode) & 0o066 == 0


def test_socket_activation(make_daemon):
    d = make_daemon(start=False)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(d.socket))
    listener.listen(64)
    arguments = d.command()
    at = arguments.index("--socket")
    del arguments[at : at + 2]
    launcher = [sys.executable, "-c", ACTIVATE, str(listener.fileno()), *arguments]
    d.command = lambda: launcher
    original = subprocess.Popen
    # A connection made before the daemon runs is served once it does.
    early = Connection(d.socket)
    early.send("List", {})
    subprocess.Popen = lambda *a, **k: original(*a, **{**k, "pass_fds": [listener.fileno()]})
    try:
        d.start()
    finally:
        subprocess.Popen = original
    assert early.receive()[0] == {"containers": []}
    early.close()
    assert d.run("--", "echo", "x").ok() == "x\n"
    d.terminate()
    assert d.socket.exists(), "a socket that was passed in is not the daemon's to remove"
    listener.close()
    d.socket.unlink()
    del d.command


def test_sigterm_leaves_containers_running_and_a_new_daemon_adopts_them(daemon):
    script = "echo before; while ! [ -e /tmp/go ]; do sleep 0.01; done; echo after; exit 9"
    limits = ("--pids-limit", "50") if "pids" in controllers() else ()
    container = daemon.start_container("--name", "survivor", *limits, command=("/bin/sh", "-c", script))
    over = daemon.kennel("run", "--name", "over", "--", "/bin/sh", "-c", "exit 3")
    assert over.code == 3
    before = daemon.inspect(container)
    daemon.terminate(signal.SIGTERM)
    assert not daemon.socket.exists()
    pid = before["container"]["pid"]
    assert pid in host_pids_of(container)
    record = json.loads((daemon.state / "containers" / container / "record.json").read_text())
    assert str(pid) in json.dumps(record)
    daemon.start()
    after = daemon.inspect(container)
    for key in set(before) - {"sample", "watch"}:
        assert after[key] == before[key], key
    differing = [w["detector"] for w, v in zip(after["watch"], before["watch"], strict=True) if w != v]
    assert differing == ["refusedCall"]  # nobody kept its descriptor, and it says so
    assert {c["name"]: c["state"] for c in daemon.containers()} == {"survivor": "running", "over": "exited"}
    assert daemon.inspect("over")["container"]["exit"]["code"] == 3
    if limits:
        assert daemon.call("Stats", containers=[container])["samples"][0]["pids"]["limit"] == 50
    assert daemon.call("Verify", container=container)["passed"]
    # which may end the container, and so the program itself, before that has ended by itself
    assert daemon.kennel("exec", container, "touch", "/tmp/go").code in (0, 137)
    assert daemon.wait_exited(container)["code"] == 9
    assert daemon.kennel("logs", container).ok() == "before\nafter\n"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_exit_while_no_daemon_runs(daemon, sig):
    container = daemon.start_container("--name", "c", command=("/bin/sh", "-c", "while ! [ -e /mnt/go ]; do sleep 0.01; done; exit 4"))
    other = daemon.start_container("--name", "d")
    pid = daemon.inspect(container)["container"]["pid"]
    daemon.terminate(sig, expected=0 if sig == signal.SIGTERM else -9)
    pathlib.Path(f"/proc/{pid}/root/mnt/go").touch()
    wait_for(lambda: not host_pids_of(container), "the container to end")
    daemon.start()
    assert daemon.inspect("c")["container"]["state"] == "exited"
    # nobody kept its pidfd: whoever reaped it knows, and does not tell
    assert daemon.wait_exited("c")["code"] in (None, 4)
    assert daemon.inspect("d")["container"]["state"] == "running"
    daemon.kennel("kill", "d").ok()
    assert daemon.wait_exited(other)["signal"] == "KILL"


def test_killed_daemon_and_an_attached_container(daemon):
    """The client says that the daemon has gone; the container is found again by the next one."""
    client = daemon.popen("run", "--rm", "--name", "attached", "--", "/bin/sh", "-c", "echo ready; exec sleep 1000")
    assert client.stdout.readline() == b"ready\n"
    container = daemon.containers()[0]["id"]
    daemon.ids.add(container)
    daemon.terminate(signal.SIGKILL, expected=-9)
    _, err = client.communicate(timeout=PATIENCE)
    assert client.returncode == 125 and err
    daemon.start()
    assert daemon.inspect("attached")["container"]["id"] == container
    daemon.kennel("rm", "-f", "attached").ok()
    assert not host_pids_of(container)


def test_sigint_ends_it_too(daemon):
    daemon.terminate(signal.SIGINT)


def test_two_daemons_side_by_side(make_daemon):
    # Each with a pool of ids of its own, as kenneld(8) asks for.
    a, b = (make_daemon(config=f"id-base = {base}\nid-ranges = 64\n") for base in (1 << 28, 1 << 29))
    ids = a.start_container("--name", "same"), b.start_container("--name", "same")
    assert [d.containers()[0]["id"] for d in (a, b)] == list(ids)
    a.terminate()
    assert b.kennel("exec", "same", "echo", "x").ok() == "x\n"
    a.start()
    a.kennel("rm", "-f", "same").ok()
    assert host_pids_of(ids[1])
    maps = {pathlib.Path(f"/proc/{b.containers()[0]['pid']}/uid_map").read_text()}
    fresh = a.start_container()
    maps.add(pathlib.Path(f"/proc/{a.inspect(fresh)['container']['pid']}/uid_map").read_text())
    assert len(maps) == 2, "two daemons gave two containers the same ids"


def test_a_second_daemon_on_the_same_directories_is_refused(daemon):
    for arguments in (daemon.command(), [*daemon.command(), "--socket", str(daemon.base / "other")]):
        out = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert out.returncode > 0
        assert "use" in out.stderr or "lock" in out.stderr or "another" in out.stderr, out.stderr
    daemon.call("List")


def test_a_socket_left_by_a_killed_daemon_is_replaced(daemon):
    daemon.terminate(signal.SIGKILL, expected=-9)
    assert daemon.socket.exists()
    daemon.start()
    daemon.call("List")


def test_a_slow_spawn_does_not_delay_list(kennel, scratch):
    """A root file system that hangs: a FUSE mount whose server never answers would; a frozen network disk does."""
    hung = HungFileSystem(scratch / "hung")
    if not hung.mounted:
        pytest.skip(f"no FUSE here: {hung.reason}")
    try:
        waiting = threading.Thread(target=run_hung, args=(kennel, hung.path))
        waiting.start()
        wait_for(lambda: hung.asked(), "the spawn to hang")
        for _ in range(10):
            begin = time.monotonic()
            kennel.call("List")
            assert time.monotonic() - begin < SLOWNESS
        assert kennel.run("--", "echo", "meanwhile").ok() == "meanwhile\n"
    finally:
        hung.close()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def run_hung(kennel, path):
    kennel.run("-v", f"{path}:/data", "-w", "/data/sub", "--", "true")


class HungFileSystem:
    """A FUSE mount that answers INIT and the attributes of its root, and then nothing: no library, just the protocol."""

    INIT, GETATTR = 26, 3

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.requests = []
        self.mounted = False
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR)
        except OSError as e:
            self.reason = str(e)
            return
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"hung", str(path).encode(), b"fuse", 0, options.encode()) < 0:
            self.reason = os.strerror(ctypes.get_errno())
            os.close(self.fd)
            return
        self.mounted = True
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 17)
            except OSError:
                return
            _, opcode, unique = struct.unpack_from("<IIQ", request)
            if opcode == self.INIT:
                body = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 10, 65536, 1, 1, 0, 0)
            elif opcode == self.GETATTR:
                body = struct.pack("<QII", 60, 0, 0)
                body += struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
            else:
                self.requests.append(opcode)
                continue
            os.write(self.fd, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)

    def asked(self):
        return bool(self.requests)

    def close(self):
        if self.mounted:
            # The number of the connection is the minor number of the mount's device; stat would hang.
            line = next(x for x in open("/proc/self/mountinfo") if f" {self.path} " in x)
            minor = line.split()[2].split(":")[1]
            subprocess.run(["umount", "-f", "-l", str(self.path)], check=False)
            abort = pathlib.Path(f"/sys/fs/fuse/connections/{minor}/abort")
            if abort.exists():
                abort.write_text("1")
            # closing the device aborts what is still under way
            os.close(self.fd)


def test_descriptors_and_memory_stay_flat(kennel):
    def descriptors():
        return len(os.listdir(f"/proc/{kennel.process.pid}/fd"))

    for _ in range(3):
        kennel.run("--", "true").ok()
    before = descriptors()
    for _ in range(25):
        kennel.run("--", "true").ok()
    wait_for(lambda: descriptors() <= before, "descriptors to be as before")


def test_the_catalog_has_the_message_ids():
    header = (REPOSITORY / "daemon" / "util" / "log.h").read_text()
    catalog = (REPOSITORY / "systemd" / "kennel.catalog").read_text()
    ids = [line.split('"')[1] for line in header.splitlines() if line.startswith("#define LOG_ID_")]
    assert ids and sorted(ids) == sorted(line[3:] for line in catalog.splitlines() if line.startswith("-- "))


def as_user(daemon, uid, *arguments):
    """The client as a member of the tenants' group."""
    groups = [grp.getgrnam("users").gr_gid]
    return subprocess.run(
        daemon.client_command(*arguments),
        user=uid,
        group=uid,
        extra_groups=groups,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def test_refusals_are_logged_and_one_user_hides_none_of_anothers(make_daemon):
    daemon = make_daemon(config="tenant-group = users\n")

    def refusals(uid, what="uid {} may not call io.kennel.Run"):
        return [line for line in daemon.log().splitlines() if what.format(uid) in line and line.startswith("notice: ")]

    for flags in (("--network", "host"), ("--security-opt", "seccomp=unconfined"), ("--cap-add", "SYS_BOOT"), ("-p", "80:80", "--network", "bridge")):
        before = len(refusals(65531))
        assert as_user(daemon, 65531, "run", *flags, "--", "true").returncode == 125
        assert len(refusals(65531)) == before + 1, (flags, daemon.log()[-2000:])
    # what is merely wrong is no refusal
    assert as_user(daemon, 65531, "run", "--cap-add", "FLY", "--", "true").returncode == 125
    assert len(refusals(65531)) == 4
    for _ in range(10):
        as_user(daemon, 65531, "run", "--network", "host", "--", "true")
    assert len(refusals(65531)) == 10
    as_user(daemon, 65532, "run", "--network", "host", "--", "true")
    assert len(refusals(65532)) == 1
    # who may not even connect
    daemon.socket.chmod(0o666)
    subprocess.run(daemon.client_command("ps"), user=65530, group=65530, extra_groups=[], capture_output=True, check=False, cwd="/")
    assert len(refusals(65530, "A connection was refused: uid {} is neither root")) == 1


def test_quarantine_that_nothing_can_be_written_to(scratch):
    """Said at the start, not when the first program is to be kept. As read-only as a security module would make it."""
    quarantine = pathlib.Path(scratch) / "quarantine"
    quarantine.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=0700", "quarantine", quarantine], check=True)
    daemon = Kenneld(config=f"quarantine = {quarantine}\n")
    try:
        ended = subprocess.run(daemon.command(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    finally:
        shutil.rmtree(daemon.base)
        subprocess.run(["umount", quarantine], check=True)
    assert ended.returncode != 0 and f"quarantine directory {quarantine} cannot be written: Read-only" in ended.stderr, ended


def test_quarantine_is_left_empty_and_full_ones_are_taken(make_daemon, scratch):
    quarantine = pathlib.Path(scratch) / "quarantine"
    quarantine.mkdir(mode=0o700)
    (quarantine / ".kennel-probe").touch()  # what a daemon left that ended meanwhile
    make_daemon(config=f"quarantine = {quarantine}\n").terminate()
    assert not list(quarantine.iterdir())
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1,mode=0700", "quarantine", quarantine], check=True)
    try:
        make_daemon(config=f"quarantine = {quarantine}\n").terminate()
    finally:
        subprocess.run(["umount", quarantine], check=True)


def test_suggested_quarantine_is_in_the_policies():
    directory = "/var/lib/kennel-quarantine"
    systemd = REPOSITORY / "systemd"
    assert directory in (systemd / "kenneld.conf").read_text()
    assert f"  {directory}/{{,**}} rw,\n" in (systemd / "apparmor" / "kenneld.in").read_text()
    context = "any (system_u object_r kennel_var_lib_t ((s0) (s0)))"
    assert f'(filecon "{directory}(/.*)?" {context})\n' in (systemd / "selinux" / "kennel.cil").read_text()


INHERITED = ("NoNewPrivileges=", "SystemCall", "Restrict", "Lock", "MemoryDeny", "Protect", "Private", "IPAddress", "RuntimeDir")


def test_units_are_sound(scratch):
    unit = (BUILD / "systemd" / "kennel.service").read_text()
    assert "ExecStart=" in unit and "@" not in unit
    for line in unit.splitlines():
        assert not line.startswith(INHERITED), "every container would have it"
    assert "KillMode=process" in unit and "Delegate=yes" in unit
