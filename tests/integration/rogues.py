# SPDX-License-Identifier: LGPL-2.1-or-later
"""Findings as a follower gets them, and the stand-ins of tests/containment/rogue.c that give cause for them."""

import contextlib
import ctypes
import functools
import hashlib
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import threading
import time

from kenneld import PATIENCE, REPOSITORY, SLOWNESS, cgroup_directories

SECOND = 1.0 * SLOWNESS  # in which a finding has to be there
LOOK = 2.0 * SLOWNESS  # in which one has to be there that only the look once a second can make
UNANSWERED = 10 * SLOWNESS  # reads of a process's memory that had no answer in time count as dropped; a machine with other work has some


def compile_rogue(path):
    """tests/containment/rogue.c, by another name first: a test may be running the old one."""
    source = REPOSITORY / "tests" / "containment" / "rogue.c"
    flags = ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    subprocess.run(["cc", *flags, "-o", f"{path}.new", source], check=True)
    os.rename(f"{path}.new", path)


def root_with(busybox, path, rogue):
    """The busybox root and, as a program of the image's, /bin/rogue."""
    if not path.exists():
        subprocess.run(["cp", "-a", busybox, path], check=True)
    shutil.copy2(rogue, path / "bin" / "rogue.new")
    os.rename(path / "bin" / "rogue.new", path / "bin" / "rogue")  # another run may have the old one at work
    return path


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Follower:
    """Everything that a call of Rogues with `follow` says, with the time at which it said it."""

    def __init__(self, kennel, container=None):
        self.connection = kennel.connect(timeout=None)
        self.queue, self.seen, self.dropped = queue.Queue(), [], 0
        self.thread = threading.Thread(target=self._read, args=(container,), daemon=True)
        self.ready = threading.Event()
        self.thread.start()
        assert self.ready.wait(PATIENCE), "Rogues with follow says nothing"

    def _read(self, container):
        with contextlib.suppress(OSError, EOFError, AssertionError, Exception):
            parameters = {"follow": True} if container is None else {"follow": True, "container": container}
            for reply in self.connection.stream("Rogues", **parameters):
                for finding in reply["findings"]:
                    self.queue.put((time.monotonic(), finding))
                self.dropped = reply["dropped"]
                self.ready.set()
        self.queue.put(None)

    def wait(self, since, limit=SECOND, **wanted):
        """The first finding with these members; callables judge. Fails if it comes more than LIMIT seconds after SINCE."""

        def fits(finding):
            return all(w(finding[k]) if callable(w) else finding[k] == w for k, w in wanted.items())

        for at, finding in self.seen:
            if fits(finding):
                assert at - since <= limit, f"after {at - since:.2f} s: {finding}"
                return finding
        while True:
            try:
                got = self.queue.get(timeout=max(0.0, since + limit - time.monotonic()) + 0.001)
            except queue.Empty:
                told = "\n".join(f"{at - since:.2f} s {f['kind']} {f['program']} {f['evidence']}" for at, f in self.seen)
                raise AssertionError(f"no finding {describe(wanted)} in {limit} s; but:\n{told}") from None
            assert got is not None, "Rogues has ended"
            self.seen.append(got)
            if fits(got[1]) and got[0] - since <= limit:
                return got[1]

    def close(self):
        with contextlib.suppress(OSError):
            self.connection.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.connection.close()


def describe(wanted):
    return {k: "..." if callable(v) else v for k, v in wanted.items()}


# What tests/containment/rogue.c does as `serve`, for images that cannot have a program of ours.
SERVICE = r"""
import os, signal, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen(16)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    connection, _ = listener.accept()
    words = connection.recv(4096).decode().split("\x1f")
    pid = os.getpid()
    if words[0] == "start":
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.execv(words[1], words[2:])
    connection.sendall(str(pid).encode())
    connection.close()
"""


class Service:
    """A service in a container: its first process, which does what it is told over a socket on a volume."""

    def __init__(self, kennel, share, image_root=None, flags=()):
        """SHARE: a directory with the program `rogue`; image_root: one with /bin/rogue, None is the image `host`."""
        self.kennel, self.share = kennel, share
        share.chmod(0o777)  # the container's root is nobody on the host
        command = ["/bin/rogue", "serve", "/share/service"] if image_root else ["/usr/bin/python3", "-c", SERVICE, "/share/service"]
        image = ["--rootfs", image_root] if image_root else []
        self.container = kennel.start_container(*image, "-v", f"{share}:/share:z", *flags, command=command)
        self.host_pid = kennel.inspect(self.container)["container"]["pid"]
        deadline = time.monotonic() + PATIENCE
        while not (share / "service").exists() or not self._answers():
            assert time.monotonic() < deadline, "the service does not come up"
            time.sleep(0.01)

    def _answers(self):
        with contextlib.suppress(OSError):
            return self.ask("ping") > 0
        return False

    def ask(self, *words):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(str(self.share / "service"))
            s.sendall("\x1f".join(words).encode())
            return int(s.recv(64))

    def start(self, path, *argv):
        """Its pid inside. ARGV from argv[0] on; without, the path alone."""
        return self.ask("start", path, *(argv or (path,)))

    def shell(self, script):
        return self.start("/bin/sh", "sh", "-c", script)


def listen_in(pid, port=0):
    """A listening socket of this process's on loopback in the network namespace of process PID: (socket, port)."""
    libc, got = ctypes.CDLL(None, use_errno=True), []

    def enter():  # in a thread of its own, which ends in there
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        if libc.setns(fd, 0x40000000) == 0:
            s = socket.socket()
            s.bind(("127.0.0.1", port))
            s.listen(8)
            s.settimeout(PATIENCE)
            got.append(s)
        os.close(fd)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert got, "cannot listen in there"
    return got[0], got[0].getsockname()[1]


@functools.lru_cache(maxsize=64)
def cgroup2_directory(container):
    (directory,) = [d for d in cgroup_directories(container) if os.path.exists(f"{d}/cgroup.freeze")]
    return directory


def numbers_of(container):
    """{pid inside: host pid} of a container's processes, by its cgroup; CONTAINER is an id."""
    found = {}
    for host_pid in pathlib.Path(cgroup2_directory(container), "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            status = pathlib.Path(f"/proc/{host_pid}/status").read_text()
            found[int(status.split("NSpid:")[1].split("\n")[0].split()[-1])] = int(host_pid)
    return found


def start_time(host_pid):
    """Field 22 of /proc/PID/stat; None if there is no such process."""
    with contextlib.suppress(OSError):
        return int(pathlib.Path(f"/proc/{host_pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    return None
