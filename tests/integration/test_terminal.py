# SPDX-License-Identifier: LGPL-2.1-or-later
"""`-t`: a terminal of its own, tried with a pty and, as a person would, in tmux."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import uuid

import pytest
from kenneld import PATIENCE, wait_for


class Terminal:
    """The client on a pty of ours."""

    def __init__(self, kennel, *arguments, rows=30, columns=100):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave

        def own_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            kennel.client_command(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=own_terminal,
        )
        self.text = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def write(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern):
        """Reads until PATTERN is there; what stands before and in it is consumed."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end() :]
                return found
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"no {pattern!r} in {self.text!r}"
            self.text += os.read(self.master, 65536).decode(errors="replace")

    def wait(self):
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(kennel):
    made = []

    def make(*arguments, **keywords):
        made.append(Terminal(kennel, *arguments, **keywords))
        return made[-1]

    yield make
    for t in made:
        t.close()


PROMPT = ("-e", "PS1=@@ ", "--", "/bin/sh")


def test_a_shell_on_a_terminal(terminal):
    t = terminal("run", "--rm", "-it", *PROMPT)
    t.expect("@@ ")
    t.write("tty; test -t 0 && test -t 1 && test -t 2 && echo all-$((1+1))\r")
    t.expect("/dev/(pts/0|console)\r\n")
    t.expect("all-2\r\n")
    t.write("stty size; exit 5\r")
    t.expect("30 100\r\n")
    assert t.wait() == 5
    assert termios.tcgetattr(t.slave) == t.before, "the terminal is not as it was"


SIZES = """
import os, signal
wanted = [signal.SIGWINCH, signal.SIGINT]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("ready", flush=True)
while signal.sigwait(wanted) != signal.SIGINT:
    print(*os.get_terminal_size(), flush=True)
"""


def test_resize(terminal):
    # not a shell's trap: bash itself loses a second signal that comes while the first is being handled
    t = terminal("run", "--rm", "-it", "--", "/usr/bin/python3", "-c", SIZES)
    t.expect("ready")
    for rows, columns in ((50, 132), (20, 40), (21, 40), (300, 7)):
        t.resize(rows, columns)
        t.expect(f"{columns} {rows}")
    t.write("\x03")
    assert t.wait() == 0


def test_ctrl_c_goes_to_the_program_not_to_the_client(terminal):
    t = terminal("run", "--rm", "-it", "--", "/bin/sh", "-c", "trap 'echo got-int; exit 6' INT; echo ready; while :; do sleep 0.01; done")
    t.expect("ready")
    t.write("\x03")
    t.expect("got-int")
    assert t.wait() == 6


JOB = """
import signal
signal.signal(signal.SIGCONT, lambda *_: print("continued", flush=True))
print("go", flush=True)
while True:
    signal.pause()
"""


def test_ctrl_z_and_jobs(terminal, scratch):
    (scratch / "job").write_text(JOB)
    t = terminal("run", "--rm", "-it", "-v", f"{scratch}:/mnt:ro", "-e", "PS1=@@ ", "--", "/bin/bash", "--norc")
    t.expect("@@ ")
    t.write("/usr/bin/python3 /mnt/job\r")
    t.expect("go")
    t.write("\x1a")
    t.expect("Stopped")
    t.expect("@@ ")
    t.write("fg\r")
    t.expect("continued")
    t.write("\x03")
    t.expect("@@ ")
    t.write("exit 0\r")
    assert t.wait() == 0


def test_detach_and_its_log(kennel, terminal):
    t = terminal("run", "-it", "--name", "d", *PROMPT)
    t.expect("@@ ")
    t.write("\x10\x11")
    t.wait()
    assert termios.tcgetattr(t.slave) == t.before
    container = kennel.inspect("d")["container"]
    kennel.ids.add(container["id"])
    assert container["state"] == "running"
    kinds = []
    with kennel.connect() as c:
        kinds = [r["event"]["kind"] for r in c.stream("Events", container="d", follow=False) if r.get("event")]
    assert "detached" in kinds
    kennel.kennel("exec", "d", "/bin/sh", "-c", "echo written-later >/dev/pts/0").ok()
    wait_for(lambda: "written-later" in kennel.kennel("logs", "d").ok(), "the log to have it")


def test_the_first_key_of_the_detach_sequence_alone_is_passed_on(terminal):
    t = terminal("run", "--rm", "-it", "--", "/bin/sh", "-c", "stty raw -echo; echo ready; od -An -tx1 -N2")
    t.expect("ready")
    t.write("\x10")
    t.write("x")
    t.expect("10 78")


def test_a_terminal_is_cleaned_up_when_the_client_dies(kennel, terminal):
    t = terminal("run", "--rm", "-it", "--name", "k", *PROMPT)
    t.expect("@@ ")
    kennel.ids.add(kennel.inspect("k")["container"]["id"])
    t.process.kill()
    t.wait()
    wait_for(lambda: kennel.containers() == [], "the container to be removed")


def test_exec_with_a_terminal(kennel, terminal):
    kennel.start_container("--name", "c")
    t = terminal("exec", "-it", "c", "/bin/sh", "-c", "tty; stty size; exit 7", rows=11, columns=22)
    t.expect("/dev/pts/")
    t.expect("11 22")
    assert t.wait() == 7


def test_t_without_a_terminal_says_so(kennel):
    result = kennel.run("-it", "--", "true", input=b"")
    assert result.code in (0, 125)
    if result.code == 125:
        assert "terminal" in result.stderr


def test_output_of_a_program_that_ends_at_once_is_not_lost(terminal):
    t = terminal("run", "--rm", "-t", "--", "seq", "1", "20000")
    t.expect("\n20000\r+\n")
    assert t.wait() == 0


def test_tiocsti_is_refused_on_the_terminal(terminal, probe):
    t = terminal("run", "--rm", "-it", "-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "tiocsti")
    t.expect("low EPERM\r\nhigh EPERM\r\nlow EPERM\r\nhigh EPERM")
    assert t.wait() == 0


class Tmux:
    def __init__(self):
        self.name = f"kennel-{uuid.uuid4().hex[:8]}"

    def __call__(self, *arguments):
        command = ["tmux", "-L", self.name, "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def screen_has(self, pattern):
        def look():
            return re.search(pattern, self("capture-pane", "-p"), re.M)

        return wait_for(look, f"{pattern!r} on the screen")


def test_in_tmux_with_a_resize_and_a_detach(kennel):
    tmux = Tmux()
    command = " ".join(kennel.client_command("run", "-it", "--name", "t", "-e", "'PS1=@@ '", "--", "bash", "--norc"))
    try:
        tmux("new-session", "-d", "-x", "90", "-y", "25", "env PS1='outside$ ' /bin/sh")
        tmux.screen_has("outside")
        tmux("send-keys", command, "Enter")
        tmux.screen_has("^@@")
        tmux("send-keys", "clear; stty size; id -u", "Enter")
        tmux.screen_has("^25 90$")
        tmux("resize-window", "-x", "70", "-y", "20")
        tmux("send-keys", "clear; stty size", "Enter")
        tmux.screen_has("^20 70$")
        tmux("send-keys", "C-c")
        tmux.screen_has(r"\^C")  # with it goes whatever has been typed by then
        tmux("send-keys", "echo still-$((1+1))", "Enter")
        tmux.screen_has("^still-2$")
        tmux("send-keys", "C-p", "C-q")
        tmux.screen_has("^outside\\$ *$")
        container = kennel.inspect("t")["container"]
        kennel.ids.add(container["id"])
        assert container["state"] == "running"
        tmux("send-keys", "clear; echo typed-$((2+2))", "Enter")
        tmux.screen_has("^typed-4$")
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            tmux("kill-server")
