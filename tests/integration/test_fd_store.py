# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a service manager keeps for the next daemon: here the test is the manager, and hands back what it was given."""

import array
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
from kenneld import PATIENCE, Kenneld, host_pids_of, wait_for

# Puts what was passed at 3 and above, as systemd does, and becomes the daemon.
LAUNCHER = """
import fcntl, json, os, sys
fds, names = json.loads(sys.argv[1]), sys.argv[2]
for i, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 1000) for fd in fds]):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
os.execv(sys.argv[3], sys.argv[3:])
"""


# PIDFD_GET_INFO tells the exit of what another has reaped from Linux 6.15 on; before, a process need not be kept.
PROCESS = ["process"] if tuple(map(int, re.match(r"(\d+)\.(\d+)", os.uname().release).groups())) >= (6, 15) else []


class Manager:
    """The notify socket of a service, and the store behind it."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.store = []  # (name, fd)
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4 * 16))
            if not text:
                return
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data)
            fields = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
            name = fields.get("FDNAME")
            if "FDSTORE" in fields:
                assert fields["FDPOLL"] == "0" and len(fds) == 1
                self.store.append((name, fds[0]))
            if "FDSTOREREMOVE" in fields:
                for entry in [e for e in self.store if e[0] == name]:
                    self.store.remove(entry)
                    os.close(entry[1])
            if "READY" in fields:
                self.ready.set()

    def names(self):
        return sorted(name.split("-", 1)[1] for name, _ in list(self.store))

    def drop(self):
        """As `systemctl stop` does before systemd 254."""
        while self.store:
            os.close(self.store.pop()[1])

    def close(self):
        self.socket.shutdown(socket.SHUT_RD)
        self.thread.join(PATIENCE)
        self.drop()
        self.socket.close()


class ManagedKenneld(Kenneld):
    manager = None

    def start(self):
        path = str(self.base / "notify")
        if not self.manager:
            self.manager = Manager(path)
        self.manager.ready.clear()
        store = list(self.manager.store)
        environment = {**os.environ, "NOTIFY_SOCKET": path, "SYSTEMD_EXEC_PID": "1"}
        environment.pop("INVOCATION_ID", None)
        fds, names = [fd for _, fd in store], ":".join(name for name, _ in store)
        launcher = [sys.executable, "-c", LAUNCHER, json.dumps(fds), names] if fds else []
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*launcher, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=fds,
                start_new_session=True,
            )
        assert self.manager.ready.wait(PATIENCE), self.log()[-6000:]
        return self


@pytest.fixture
def managed(request):
    d = ManagedKenneld().start()
    yield d
    try:
        d.stop(keep=request.config.getoption("--keep"))
    finally:
        d.manager.close()


def logged(daemon, container):
    return daemon.kennel("logs", container).ok().replace("\r", "")


def touch(pid, name):
    pathlib.Path(f"/proc/{pid}/root/mnt/{name}").touch()


ENDS = pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])


def end(daemon, sig):
    daemon.terminate(sig, expected=0 if sig == signal.SIGTERM else -9)


WAITS = "while ! [ -e /mnt/{0} ]; do sleep 0.01; done; "


@ENDS
def test_a_terminal_survives_the_daemon(managed, sig):
    script = "trap 'echo hung up' HUP; echo first; " + WAITS.format("go") + "echo second; tty; exec sleep infinity"
    container = managed.start_container("-t", command=("/bin/sh", "-c", script))
    pid = managed.inspect(container)["container"]["pid"]
    wait_for(lambda: "first" in logged(managed, container), "the first line")
    assert managed.manager.names() == ["calls", *PROCESS, "terminal"]
    end(managed, sig)
    touch(pid, "go")
    managed.start()
    wait_for(lambda: "/dev/" in logged(managed, container), "the last line")
    assert logged(managed, container) == "first\nsecond\n/dev/pts/0\n"
    # it is a terminal for the next daemon but one, too
    end(managed, sig)
    managed.start()
    managed.kennel("exec", container, "/bin/sh", "-c", "echo third >/dev/console").ok()
    wait_for(lambda: logged(managed, container).endswith("third\n"), "what is written to the terminal")
    managed.kennel("kill", container).ok()
    managed.wait_exited(container)
    wait_for(lambda: managed.manager.names() == [], "the store to be empty")


@ENDS
def test_output_of_what_ends_while_no_daemon_runs(managed, sig):
    """What is in a pipe goes with its last reader, and the container is gone, too."""
    script = "echo first; " + WAITS.format("go") + "seq 5000; echo last >&2; exit 4"
    container = managed.start_container(command=("/bin/sh", "-c", script))
    pid = managed.inspect(container)["container"]["pid"]
    wait_for(lambda: "first" in logged(managed, container), "the first line")
    assert managed.manager.names() == ["calls", *PROCESS, "stderr", "stdout"]
    end(managed, sig)
    touch(pid, "go")
    wait_for(lambda: not host_pids_of(container), "the container to end")
    managed.start()
    found = managed.wait_exited(container)
    assert logged(managed, container) == "first\n" + "".join(f"{i}\n" for i in range(1, 5001))
    assert managed.kennel("logs", container).stderr == "last\n"
    assert found["code"] in ([4] if PROCESS else [4, None])
    wait_for(lambda: managed.manager.names() == [], "the store to be empty")


@ENDS
def test_output_of_a_terminal_that_ends_while_no_daemon_runs(managed, sig):
    container = managed.start_container("-t", command=("/bin/sh", "-c", "echo first; " + WAITS.format("go") + "echo last; exit 5"))
    pid = managed.inspect(container)["container"]["pid"]
    wait_for(lambda: "first" in logged(managed, container), "the first line")
    end(managed, sig)
    touch(pid, "go")
    wait_for(lambda: not host_pids_of(container), "the container to end")
    managed.start()
    managed.wait_exited(container)
    assert logged(managed, container) == "first\nlast\n"
    wait_for(lambda: managed.manager.names() == [], "the store to be empty")


def test_what_the_manager_dropped_is_gone_and_nothing_else(managed):
    container = managed.start_container("-t")
    other = managed.start_container(command=("/bin/sh", "-c", WAITS.format("go") + "echo first; exec sleep infinity"))
    end(managed, signal.SIGTERM)
    managed.manager.drop()
    managed.start()
    for c in (container, other):
        assert managed.inspect(c)["container"]["state"] == "running"
    assert managed.kennel("exec", container, "/bin/sh", "-c", "echo x >/dev/console").code != 0
    touch(managed.inspect(other)["container"]["pid"], "go")
    wait_for(lambda: logged(managed, other) == "first\n", "output through the FIFO")


def test_nothing_is_kept_of_what_has_gone(managed):
    for arguments in ((), ("-t",)):
        managed.run(*arguments, "--", "true").ok()
        assert managed.kennel("run", "-d", *arguments, "--", "/nonexistent").code == 127
    wait_for(lambda: managed.manager.names() == [], "the store to be empty")
    # and what a daemon is given of containers that it does not know
    read, write = os.pipe()
    managed.manager.store.append(("0123456789ab-stdout", read))
    end(managed, signal.SIGTERM)
    managed.start()
    wait_for(lambda: managed.manager.names() == [], "the stranger to be given up")
    os.close(write)


def test_no_container_has_the_manager(managed):
    assert "NOTIFY_SOCKET" not in managed.sh("env; cat /proc/1/environ | tr '\\0' '\\n'")
    assert managed.sh("ls /proc/self/fd | grep -v -x '[0-3]' | wc -l") == "0\n"
