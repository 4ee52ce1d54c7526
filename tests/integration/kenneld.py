# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private daemon for tests: directories and a socket of its own, and a hard look at what it leaves behind."""

import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from varlink import Connection, Interface, NoSuchContainer

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KENNEL_BUILD", REPOSITORY / "build")).resolve()
KENNELD = BUILD / "daemon" / "kenneld"
KENNEL = BUILD / "client" / "kennel"
INTERFACE_FILE = REPOSITORY / "proto" / "io.kennel.varlink"
INTERFACE = Interface(INTERFACE_FILE.read_text())
SANITIZED = os.environ.get("KENNEL_SANITIZED") == "1"
SELINUX = pathlib.Path("/sys/fs/selinux/enforce").exists()
# Everything under the sanitizers takes several times as long; a limit is there to end what hangs.
SLOWNESS = float(os.environ.get("KENNEL_TEST_SLOWNESS", "1"))  # of the machine; one that is emulated is slower
PATIENCE = (60 if SANITIZED else 20) * SLOWNESS


def label(path, selinux_type="kennel_share_t"):
    """Where there is SELinux: gives a file or directory the label that tests need; the default is what `-v ...:z` gives.
    What is made in a directory afterwards gets it as well."""
    if SELINUX:
        os.setxattr(path, "security.selinux", f"system_u:object_r:{selinux_type}:s0\0".encode())


def wait_for(condition, what, timeout=PATIENCE):
    """For what gives no event to wait on, like a file of /proc: looks again and again, with short pauses."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout} s in vain for: {what}"
        time.sleep(0.005)


def controllers():
    """The cgroup controllers that this host offers: on cgroup2, else each on a hierarchy of version 1."""
    unified = pathlib.Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return set(unified.read_text().split())
    return {path.name for path in pathlib.Path("/sys/fs/cgroup").iterdir()}


# The service manager's: nothing of a daemon that it did not start is there, and they have thousands of files.
SLICES = {"init.scope", "system.slice", "user.slice"}


def cgroup_directories(container_id):
    """Every cgroup directory of this name, on whatever hierarchy."""
    found = []
    for base, directories, _ in os.walk("/sys/fs/cgroup"):
        directories[:] = [name for name in directories if name not in SLICES]
        if container_id in directories:
            found.append(os.path.join(base, container_id))
    return found


def host_pids_of(container_id):
    """Processes in a cgroup that is called after the container."""
    found, line = [], f"/{container_id}\n".encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry}/cgroup", "rb", buffering=0) as file:
            if line in file.readall():
                found.append(int(entry))
    return found


def session_pids(session):
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry))
    return found


def read_terminal(fd):
    """All that comes from a pseudo terminal's master until its other end is closed. The fd may be non-blocking."""
    text = b""
    while select.select([fd], [], [], PATIENCE)[0]:
        try:
            chunk = os.read(fd, 65536)
        except BlockingIOError:
            continue
        except OSError:  # EIO: nobody has the other end open any more
            return text
        if not chunk:
            return text
        text += chunk
    raise AssertionError(f"the terminal stays open and silent after {text!r}")


class Result:
    """What a client said: text where it is text, and the exit code."""

    def __init__(self, completed):
        self.code = completed.returncode
        self.stdout_bytes = completed.stdout
        self.stdout = completed.stdout.decode("utf-8", "replace") if completed.stdout is not None else None
        self.stderr = completed.stderr.decode("utf-8", "replace") if completed.stderr is not None else None

    def ok(self):
        assert self.code == 0, f"exit code {self.code}\nstdout: {self.stdout}\nstderr: {self.stderr}"
        return self.stdout

    def json_lines(self):
        return [json.loads(line) for line in self.ok().splitlines()]

    def __repr__(self):
        return f"<{self.code} stdout={self.stdout!r} stderr={self.stderr!r}>"


class Kenneld:
    def __init__(self, config=None, base=None, arguments=(), environment=None):
        assert os.geteuid() == 0, "these tests start containers: run them as root, or through tests/run"
        for program in (KENNELD, KENNEL):
            assert program.exists(), f"{program} is missing: build first, or set KENNEL_BUILD to the build directory"
        self.base = pathlib.Path(base or tempfile.mkdtemp(prefix="kennel-test-"))
        self.base.chmod(0o755)
        label(self.base, "kennel_runtime_t")
        self.socket = self.base / "socket"
        self.state = self.base / "state"
        self.data = self.base / "data"
        self.data.mkdir(mode=0o700, exist_ok=True)
        label(self.data, "kennel_var_lib_t")
        self.log_path = self.base / "log"
        self.config = None
        if config is not None:
            self.config = self.base / "kenneld.conf"
            self.config.write_text(config)
        self.arguments = list(arguments)
        self.environment = environment or {}
        self.process = None
        self.ids = set()

    # the daemon --------------------------------------------------------------------------------------------------

    def command(self):
        command = [str(KENNELD), "--socket", str(self.socket), "--state-dir", str(self.state)]
        command += ["--data-dir", str(self.data), "--log-level", "debug"]
        if self.config:
            command += ["--config", str(self.config)]
        return command + self.arguments

    def start(self):
        """Returns when the daemon has said READY=1."""
        path = str(self.base / "notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(path)
        # No manager started this daemon, whatever started the tests: its subtree is /kennel.
        environment = {**os.environ, "NOTIFY_SOCKET": path, **self.environment}
        environment.pop("INVOCATION_ID", None)
        environment["SYSTEMD_EXEC_PID"] = "1"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._wait_ready(notify)
        notify.close()
        os.unlink(path)
        return self

    def _wait_ready(self, notify):
        pidfd = os.pidfd_open(self.process.pid)
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                readable, _, _ = select.select([notify, pidfd], [], [], max(0, deadline - time.monotonic()))
                if notify in readable:
                    if b"READY=1" in notify.recv(4096).split(b"\n"):
                        return
                elif pidfd in readable:
                    raise AssertionError(f"the daemon ended with {self.process.wait()}:\n{self.log()}")
                else:
                    raise AssertionError(f"the daemon did not become ready:\n{self.log()}")
        finally:
            os.close(pidfd)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def check_log(self):
        text = self.log()
        for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Assertion"):
            assert mark not in text, f"{mark} in the daemon's log:\n{text[text.index(mark):][:8000]}"

    def terminate(self, sig=signal.SIGTERM, expected=0):
        """Ends the daemon alone; containers run on."""
        if not self.process:
            return
        self.process.send_signal(sig)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"the daemon did not end on {sig}:\n{self.log()[-6000:]}") from None
        session = self.process.pid
        self.process = None
        self.check_log()
        assert code == expected, f"the daemon ended with {code}:\n{self.log()[-6000:]}"
        if sig != signal.SIGKILL:
            assert not session_pids(session), "helpers of the daemon live on"

    def remove_all(self):
        """Removes every container, and remembers the ids for the look at the end."""
        with self.connect() as c:
            for container in c.call("List")["containers"]:
                self.ids.add(container["id"])
                # one that was started with --rm may be on its way out by itself
                with contextlib.suppress(NoSuchContainer):
                    c.call("Remove", container=container["id"], force=True)
        wait_for(lambda: self.containers() == [], "containers that remove themselves")

    def stop(self, keep=False):
        """The end of a test: containers, then the daemon, then the look at what is left."""
        try:
            if self.process is None:
                self.start()
            self.remove_all()
            self.terminate()
            self.check_nothing_left()
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
                self.process = None
            for container in self.ids:
                for directory in cgroup_directories(container):
                    with contextlib.suppress(OSError):
                        pathlib.Path(directory, "cgroup.kill").write_text("1")
            if not keep:
                self._remove_base()

    def _remove_base(self):
        for line in reversed(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
            target = line.split()[4]
            if target.startswith(str(self.base)):
                subprocess.run(["umount", "-l", target], check=False)
        shutil.rmtree(self.base, ignore_errors=True)

    def remains(self, container):
        """Processes, cgroups and directories of a container."""
        directories = [top / "containers" / container for top in (self.state, self.data)]
        return host_pids_of(container) + cgroup_directories(container) + [d for d in directories if d.exists()]

    def check_nothing_left(self):
        for container in self.ids:
            left = self.remains(container)
            assert not left, f"of {container} there is still {left}"
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        assert str(self.base) not in mounts, f"mounts are left: {[m for m in mounts.splitlines() if str(self.base) in m]}"
        for directory in (self.state / "containers", self.data / "containers"):
            left = list(directory.iterdir()) if directory.exists() else []
            assert not left, f"left behind: {left}"

    # the clients -------------------------------------------------------------------------------------------------

    def connect(self, check=True, timeout=PATIENCE):
        return Connection(self.socket, INTERFACE if check else None, timeout)

    def call(self, method, fds=(), **parameters):
        with self.connect() as c:
            return c.call(method, fds, **parameters)

    def client_command(self, *arguments):
        return [str(KENNEL), "--socket", str(self.socket), *map(str, arguments)]

    def kennel(self, *arguments, input=b"", timeout=PATIENCE * 3, **keywords):
        """Runs the client to its end."""
        keywords.setdefault("stdout", subprocess.PIPE)
        keywords.setdefault("stderr", subprocess.PIPE)
        if "stdin" not in keywords:
            keywords["input"] = input if isinstance(input, bytes) else input.encode()
        return Result(subprocess.run(self.client_command(*arguments), timeout=timeout, check=False, **keywords))

    def popen(self, *arguments, **keywords):
        keywords.setdefault("stdin", subprocess.DEVNULL)
        keywords.setdefault("stdout", subprocess.PIPE)
        keywords.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.client_command(*arguments), **keywords)

    def run(self, *arguments, **keywords):
        """`kennel run --rm ARGUMENTS`, to its end."""
        return self.kennel("run", "--rm", *arguments, **keywords)

    def sh(self, script, *flags, **keywords):
        """A shell script in a container on the image `host`; its output."""
        return self.run(*flags, "--", "/bin/sh", "-c", script, **keywords).ok()

    def start_container(self, *arguments, command=("sleep", "infinity")):
        """A detached container; its id."""
        container = self.kennel("run", "-d", *arguments, "--", *command).ok().strip()
        self.ids.add(container)
        return container

    def inspect(self, container):
        return self.call("Inspect", container=container)

    def wait_exited(self, container):
        return self.call("Wait", container=container)["exit"]

    def containers(self):
        return self.call("List")["containers"]
