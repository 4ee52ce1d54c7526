# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client's tables of stats and top, and its flags of limits, against a daemon of the test's own.

The test itself is the daemon: it says sample by sample what there is, so every figure that the client must show is known
exactly. Live tables are read off a small terminal that knows just the codes that the client may send, and no others.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
from kenneld import INTERFACE, KENNEL, PATIENCE

SECOND = 1_000_000
BEGIN = 1_000_020 * SECOND
MIB = 1 << 20


class Peer:
    """One connection of the client's."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.buffer = b""

    def receive(self, method):
        while b"\0" not in self.buffer:
            data = self.socket.recv(65536)
            assert data, "the client has gone"
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        call = json.loads(message)
        assert call["method"] == f"io.kennel.{method}", call
        parameters = call.get("parameters", {})
        INTERFACE.check_fields(INTERFACE.methods[method][0], parameters, method)
        self.more = call.get("more", False)
        return parameters

    def _send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\0")

    def reply(self, method, parameters, continues=False):
        INTERFACE.check_reply(method, parameters)
        self._send({"parameters": parameters, **({"continues": True} if continues else {})})

    def error(self, name, **parameters):
        INTERFACE.check_error(name, parameters)
        self._send({"error": f"io.kennel.{name}", "parameters": parameters})

    def samples(self, *samples, complete=True, continues=True):
        self.reply("Stats", {"samples": list(samples), "complete": complete}, continues)

    def close(self):
        self.socket.close()


class Daemon:
    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.listener.settimeout(PATIENCE)
        self.peers = []

    def accept(self):
        self.peers.append(Peer(self.listener.accept()[0]))
        return self.peers[-1]

    def stats(self):
        """The client's connection after its call of Stats."""
        peer = self.accept()
        peer.call = peer.receive("Stats")
        return peer

    def command(self, *arguments):
        return [str(KENNEL), "--socket", str(self.path), *arguments]

    def close(self):
        for peer in self.peers:
            peer.close()
        self.listener.close()


@pytest.fixture
def fake(scratch):
    d = Daemon(scratch / "socket")
    yield d
    d.close()


def sample(name, tick=0, container=None, final=False, usec=None, **figures):
    """A sample of the container NAME, TICK seconds after the beginning; figures by their path: cpu_usageUsec=5."""

    def group(kind, prefix, over):
        out = {}
        for field, of in INTERFACE.types[kind].items():
            out[field] = over.pop(f"{prefix}_{field}", [] if of[0] == "array" else None)
        return out

    made = {
        "container": container or f"{name:f<64}".encode().hex()[:64],
        "name": name,
        "timestampUsec": 1_700_000_000 * SECOND + tick * SECOND,
        "monotonicUsec": BEGIN + tick * SECOND if usec is None else usec,
        "final": final,
        "unavailable": [],
        "pressure": {k: {"someUsec": figures.pop(f"psi_{k}", None), "fullUsec": None} for k in ("cpu", "memory", "io")},
    }
    kinds = {"cpu": "CpuUsage", "memory": "MemoryUsage", "pids": "PidsUsage", "io": "IoUsage"}
    for prefix, kind in {**kinds, "storage": "StorageUsage", "network": "NetworkUsage"}.items():
        made[prefix] = group(kind, prefix, figures)
    assert not figures, f"no such figures: {figures}"
    return made


class Screen:
    """A terminal: what the client may send to it, and nothing else."""

    CODE = re.compile(r"\x1b\[(\?)?([0-9;]*)([A-Za-z])")

    def __init__(self, rows, columns):
        self.normal, self.alternate = [""], None
        self.lines, self.row, self.column = self.normal, 0, 0
        self.cursor = self.wrap = True
        self.rows, self.columns = rows, columns
        self.rest = ""
        self.clears = 0

    def feed(self, text):
        text, at = self.rest + text, 0
        while at < len(text):
            c = text[at]
            if c == "\x1b":
                code = self.CODE.match(text, at)
                if not code:
                    assert len(text) - at < 12, f"no code that was to be expected: {text[at:at + 20]!r}"
                    break
                self._code(*code.groups())
                at = code.end()
                continue
            self._character(c)
            at += 1
        self.rest = text[at:]

    def _code(self, private, numbers, letter):
        if private:
            getattr(self, {"1049": "_alternate", "25": "_cursor", "7": "_wrap"}[numbers])({"h": True, "l": False}[letter])
        elif letter == "H":
            row, column = (int(n or 1) for n in (numbers or "1;1").split(";"))
            assert row <= self.rows and column <= self.columns
            self.row, self.column = row - 1, column - 1
        elif letter in "KJ" and not numbers:
            # behind a full line the cursor stands on its last character
            self._line(self._line()[: min(self.column, self.columns - 1)])
            if letter == "J":
                del self.lines[self.row + 1 :]
        elif letter == "J" and numbers == "2":
            self.lines[:] = [""]
            self.clears += 1
        else:
            raise AssertionError(f"a code that was not to be expected: {private}{numbers}{letter}")

    def _alternate(self, on):
        if on:
            assert self.alternate is None
            self.alternate = [""]
            self.saved = self.row, self.column
            self.lines, self.row, self.column = self.alternate, 0, 0
        else:
            self.lines, self.alternate = self.normal, None
            self.row, self.column = self.saved

    def _cursor(self, on):
        self.cursor = on

    def _wrap(self, on):
        self.wrap = on

    def _line(self, text=None):
        while len(self.lines) <= self.row:
            self.lines.append("")
        if text is not None:
            self.lines[self.row] = text
        return self.lines[self.row]

    def _character(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\n":
            self.row += 1
            assert self.alternate is None or self.row < self.rows, "the live table scrolls"
        else:
            assert c >= " ", f"control character {c!r}"
            column = min(self.column, self.columns - 1)
            line = self._line().ljust(column)
            self._line(line[:column] + c + line[column + 1 :])
            self.column = column + 1
            assert self.alternate is None or self.column <= self.columns

    def text(self):
        """The lines down to the last one that is not empty, but at least one."""
        lines = [line.rstrip() for line in self.lines]
        while len(lines) > 1 and not lines[-1]:
            lines.pop()
        return lines


class Live:
    """The client on a terminal."""

    def __init__(self, command, rows=24, columns=200, stdin=None, **environment):
        self.master, self.slave = pty.openpty()
        self.screen = Screen(rows, columns)
        self._set_size(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.raw = b""
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
        self.process = subprocess.Popen(
            command,
            stdin=self.slave if stdin is None else stdin,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0),
            env={**variables, "TERM": "xterm", "LANG": "C.UTF-8", **environment},
        )
        self.decoder = b""

    def _set_size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.screen.rows, self.screen.columns = rows, columns
        for i, line in enumerate(self.screen.lines):
            self.screen.lines[i] = line[:columns]
        del self.screen.lines[rows:]
        self._set_size(rows, columns)

    def keys(self, text):
        os.write(self.master, text.encode())

    def _read(self, timeout):
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        data = os.read(self.master, 65536)
        self.raw += data
        data = self.decoder + data
        # a character may be cut in two
        end = len(data)
        while end > 0 and len(data) - end < 3 and data[end - 1] & 0xC0 == 0x80:
            end -= 1
        if end > 0 and data[end - 1] >= 0xC0:
            end -= 1
        with contextlib.suppress(UnicodeDecodeError):
            data.decode()
            end = len(data)
        self.decoder = data[end:]
        self.screen.feed(data[:end].decode())
        return True

    def until(self, condition, what="the screen"):
        """Reads until CONDITION, which sees the lines on the screen."""
        deadline = time.monotonic() + PATIENCE
        while not condition(self.screen.text()):
            left = deadline - time.monotonic()
            assert left > 0 and self._read(left), f"{what} does not become as it should:\n" + "\n".join(self.screen.text())
        return self.screen.text()

    def until_names(self, *names):
        return self.until(lambda lines: [name_of(line) for line in lines[1:] if line] == list(names), f"{names}")

    def end(self):
        """The exit code; the terminal has to be as it was."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "the client does not end"
            self._read(0.01)
        while self._read(0):
            pass
        assert termios.tcgetattr(self.slave) == self.before, "the terminal's mode is not as it was"
        assert self.screen.alternate is None and self.screen.cursor and self.screen.wrap
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def name_of(line):
    """The second column of stats."""
    return line.split()[1] if len(line.split()) > 1 else line


@pytest.fixture
def live(fake):
    made = []

    def make(*arguments, **keywords):
        made.append(Live(fake.command(*arguments), **keywords))
        return made[-1]

    yield make
    for client in made:
        client.close()


HEADINGS = [
    "CONTAINER ID",
    "NAME",
    "CPU %",
    "MEM USAGE / LIMIT",
    "MEM %",
    "NET I/O",
    "BLOCK I/O",
    "PIDS",
    "THROTTLED",
    "DISK / LIMIT",
    "PSI CPU / MEM / IO",
]


def cells(line):
    return re.split(r"\s{2,}", line.strip())


def full(tick):
    return sample(
        "full",
        tick,
        container="0123456789abcdef" * 4,
        cpu_usageUsec=7 * SECOND + tick * 1_234_500,
        cpu_throttledUsec=tick * 250_000,
        memory_current=500 * MIB,
        memory_workingSet=128 * MIB,
        memory_limit=512 * MIB,
        pids_current=17,
        network_inBytes=3 * MIB,
        network_outBytes=1536,
        io_readBytes=10 * MIB,
        io_writeBytes=0,
        storage_bytes=5 * MIB,
        storage_limit=50 * MIB,
        psi_cpu=tick * 125_000,
        psi_memory=0,
        psi_io=tick * 1000,
    )


FULL = [
    "0123456789ab",
    "full",
    "123.45%",
    "128MiB / 512MiB",
    "25.00%",
    "3.0MiB / 1.5KiB",
    "10.0MiB / 0B",
    "17",
    "25.0%",
    "5.0MiB / 50.0MiB",
    "12.5% / 0.0% / 0.1%",
]
EMPTY = ["-", "- / -", "-", "- / -", "- / -", "-", "-", "- / -", "- / - / -"]


def test_every_column(fake, live):
    t = live("stats")
    peer = fake.stats()
    assert peer.more and peer.call == {}
    for tick in range(2):
        peer.samples(full(tick), sample("void", tick, container="f" * 64))
    lines = t.until(lambda lines: any("123.45%" in line for line in lines))
    assert cells(lines[0]) == HEADINGS
    assert cells(lines[1]) == FULL
    assert cells(lines[2]) == ["f" * 12, "void", *EMPTY], "null is shown as -, never as 0"
    t.keys("q")
    assert t.end() == 0


def test_rates_are_unknown_until_there_are_two_readings(fake, live):
    t = live("stats")
    peer = fake.stats()
    peer.samples(full(0))
    lines = t.until_names("full")
    assert cells(lines[1])[2] == "-" and cells(lines[1])[8] == "-" and cells(lines[1])[10] == "- / - / -"
    assert cells(lines[1])[3] == "128MiB / 512MiB"


def test_no_negative_rates(fake, live):
    t = live("stats")
    peer = fake.stats()
    peer.samples(sample("web", 0, container="a" * 64, cpu_usageUsec=9 * SECOND))
    # the same name, another container
    peer.samples(sample("web", 1, container="b" * 64, cpu_usageUsec=10 * SECOND))
    t.until(lambda lines: len(lines) == 2 and cells(lines[1])[0] == "b" * 12 and cells(lines[1])[2] == "-")
    peer.samples(sample("web", 2, container="b" * 64, cpu_usageUsec=1 * SECOND, pids_current=5))
    t.until(lambda lines: cells(lines[1])[2] == "-" and cells(lines[1])[7] == "5")
    peer.samples(sample("web", 3, container="b" * 64, cpu_usageUsec=1 * SECOND + 500_000))
    t.until(lambda lines: cells(lines[1])[2] == "50.00%")


def test_redraws_in_place(fake, live):
    t = live("stats")
    peer = fake.stats()
    for tick in range(20):
        peer.samples(sample("a", tick, pids_current=tick), sample("b", tick, pids_current=tick))
        lines = t.until(lambda lines, n=tick: len(lines) == 3 and [cells(x)[7] for x in lines[1:]] == [str(n)] * 2)
        assert cells(lines[0]) == HEADINGS
    assert t.screen.alternate is not None and not t.screen.cursor
    assert t.screen.clears == 1, "the screen is cleared while drawing: that flickers"
    assert t.screen.normal == [""], "something went to the normal screen"
    t.keys("q")
    assert t.end() == 0
    assert [name_of(x) for x in t.screen.text()] == ["ID", "a", "b"], "the last table stays"


def test_containers_come_and_go(fake, live):
    t = live("stats")
    peer = fake.stats()
    peer.samples()
    t.until(lambda lines: cells(lines[0]) == HEADINGS and len(lines) == 1)
    peer.samples(sample("b", 1))
    t.until_names("b")
    # a tick in parts; in the middle of it nothing is missing and nothing is drawn
    peer.samples(sample("c", 2), sample("a", 2), complete=False)
    peer.samples(sample("b", 2))
    t.until_names("a", "b", "c")
    # a final sample is no tick: the others stay
    peer.samples(sample("b", 2, usec=BEGIN + 2 * SECOND + 5, final=True))
    t.until_names("a", "c")
    peer.samples(sample("c", 3))
    t.until_names("c")


@pytest.mark.parametrize("rows,columns,shown", [(24, 200, 9), (10, 200, 9), (9, 80, 7), (5, 40, 3), (2, 12, 0), (1, 5, None)])
def test_cut_to_the_terminals_size(fake, live, rows, columns, shown):
    t = live("stats", rows=rows, columns=columns)
    peer = fake.stats()
    peer.samples(*(sample(f"c{i}") for i in range(9)))
    if shown is None:
        t.until(lambda lines: lines == ["10 mo"])
        return
    lines = t.until(lambda lines: len(lines) == min(10, rows))
    assert all(len(line) <= columns for line in lines)
    assert lines[0].startswith("CONTAINER ID"[:columns])
    if shown < 9:
        assert lines[-1] == f"{9 - shown} more" and len(lines) == shown + 2
    if columns == 40:
        assert len(t.screen.lines[0]) == 40 and [name_of(x) for x in lines[1:4]] == ["c0", "c1", "c2"]


def test_full_lines_keep_their_last_character(fake, live):
    width = len("CONTAINER ID  NAME")
    t = live("stats", columns=width)
    peer = fake.stats()
    peer.samples(sample("abcd", container="0" * 64))
    t.until(lambda lines: lines == ["CONTAINER ID  NAME", "000000000000  abcd"])


def test_survives_a_resize(fake, live):
    t = live("stats", rows=12, columns=200)
    peer = fake.stats()
    peer.samples(*(sample(f"c{i}") for i in range(9)))
    t.until(lambda lines: len(lines) == 10)
    t.resize(6, 30)
    lines = t.until(lambda lines: lines[-1] == "5 more")
    assert [name_of(x) for x in lines[1:5]] == ["c0", "c1", "c2", "c3"] and max(map(len, lines)) <= 30
    t.resize(4, 200)
    t.until(lambda lines: lines[-1] == "7 more" and cells(lines[0]) == HEADINGS)
    t.resize(30, 180)
    t.until_names(*(f"c{i}" for i in range(9)))
    peer.samples(sample("c5", 1))
    t.until_names("c5")
    t.keys("q")
    assert t.end() == 0


def sortable(tick):
    """Each container is the first of one column, alone."""
    base = {
        "cpu_usageUsec": tick,
        "memory_workingSet": 1,
        "pids_current": 1,
        "network_inBytes": 1,
        "network_outBytes": 1,
        "io_readBytes": 1,
        "io_writeBytes": 1,
        "storage_bytes": 1,
        "cpu_throttledUsec": 0,
        "psi_io": 0,
    }
    best = {
        "z-cpu": {"cpu_usageUsec": tick * 500_000},
        "y-memory": {"memory_workingSet": 99},
        "x-pids": {"pids_current": 99},
        "w-net": {"network_outBytes": 99},
        "v-io": {"io_readBytes": 99},
        "u-disk": {"storage_bytes": 99},
        "t-throttled": {"cpu_throttledUsec": tick * 1000},
        "s-psi": {"psi_io": tick * 1000},
    }
    return [sample(name, tick, **{**base, **figures}) for name, figures in best.items()] + [sample("r-unknown", tick)]


NAMES = ["r-unknown", "s-psi", "t-throttled", "u-disk", "v-io", "w-net", "x-pids", "y-memory", "z-cpu"]
FIRST = {"cpu": "z-cpu", "memory": "y-memory", "pids": "x-pids", "net": "w-net", "io": "v-io", "disk": "u-disk"}


def in_order(first):
    return [first] + [n for n in NAMES[1:] if n != first] + ["r-unknown"]


def test_keys_sort(fake, live):
    t = live("stats")
    peer = fake.stats()
    for tick in range(2):
        peer.samples(*sortable(tick))
    t.until_names(*NAMES)
    for key, first in zip("cmpnidts", [*FIRST.values(), "t-throttled", "s-psi"]):
        t.keys(key)
        t.until_names(*in_order(first))
    t.keys("xyz\x1b[A")  # no keys of ours
    t.keys("a")
    t.until_names(*NAMES)
    t.keys("q")
    assert t.end() == 0


@pytest.mark.parametrize("column", [*FIRST, "throttled", "psi", "name"])
def test_sort_flag(fake, column):
    with piped(fake, "stats", "--no-stream", "--sort", column) as client:
        peer = fake.stats()
        for tick in range(2):
            peer.samples(*sortable(tick))
        out, _ = client.communicate(timeout=PATIENCE)
    names = [name_of(line) for line in out.splitlines()[1:]]
    first = {**FIRST, "throttled": "t-throttled", "psi": "s-psi"}
    assert names == (NAMES if column == "name" else in_order(first[column]))


@pytest.mark.parametrize("number,code", [("INT", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 131)])
def test_signals_end_it_and_restore_the_terminal(fake, live, number, code):
    t = live("stats")
    peer = fake.stats()
    peer.samples(full(0))
    t.until_names("full")
    t.process.send_signal(getattr(signal, f"SIG{number}"))
    assert t.end() == code
    assert name_of(t.screen.text()[1]) == "full", "the last table stays"


def test_ctrl_c(fake, live):
    t = live("stats", columns=100)
    peer = fake.stats()
    for tick in range(2):
        peer.samples(full(tick))
    t.until(lambda lines: "123.45%" in lines[-1])
    t.keys("\x03")
    assert t.end() == 130
    assert "123.45%" in t.screen.text()[1] and len(t.screen.text()) == 2


def test_no_keys_if_stdin_is_no_terminal(fake, live):
    reading, writing = os.pipe()
    t = live("stats", stdin=reading)
    os.close(reading)
    peer = fake.stats()
    peer.samples(full(0))
    t.until_names("full")
    os.write(writing, b"q")
    os.close(writing)
    assert termios.tcgetattr(t.slave) == t.before, "a terminal that is not read from was changed"
    peer.samples(sample("other", 1))
    t.until_names("other")
    t.process.send_signal(signal.SIGINT)
    assert t.end() == 130


def test_an_error_is_told_on_the_restored_terminal(fake, live):
    t = live("stats")
    peer = fake.stats()
    peer.samples(full(0))
    t.until_names("full")
    peer.error("Failed", operation="stats", errno=105, message="you read too slowly")
    assert t.end() == 125
    assert t.screen.text()[-1] == "kennel: stats: you read too slowly"


def test_a_lost_daemon_is_told_on_the_restored_terminal(fake, live):
    t = live("stats")
    peer = fake.stats()
    peer.samples(full(0))
    t.until_names("full")
    peer.close()
    assert t.end() == 125
    assert "lost the daemon" in t.screen.text()[-1]


def test_ends_when_all_that_were_named_have_ended(fake, live):
    t = live("stats", "a", "b")
    peer = fake.stats()
    assert peer.call == {"containers": ["a", "b"]}
    peer.samples(sample("a"), sample("b"))
    t.until_names("a", "b")
    peer.samples(sample("a", 1, final=True))
    t.until_names("b")
    peer.samples(sample("b", 1, final=True), continues=False)
    assert t.end() == 0
    assert [name_of(x) for x in t.screen.text()] == ["ID", "b"]


def test_a_container_that_is_not_there(fake, live):
    t = live("stats", "nobody")
    fake.stats().error("NoSuchContainer", container="nobody")
    assert t.end() == 125
    assert t.screen.text()[-1] == "kennel: no such container: nobody"


def test_suspend_and_go_on(fake):
    shell = Live(["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"], PS1="@@ ")
    try:
        shell.until(lambda lines: lines[-1].startswith("@@"))
        shell.keys(" ".join(fake.command("stats")) + "\r")
        peer = fake.stats()
        peer.samples(sample("one"))
        shell.until(lambda lines: shell.screen.alternate is not None and name_of(lines[-1]) == "one")
        assert not termios.tcgetattr(shell.slave)[3] & termios.ICANON
        shell.keys("\x1a")
        shell.until(lambda lines: any("Stopped" in x for x in lines) and lines[-1].startswith("@@"))
        assert shell.screen.alternate is None and shell.screen.cursor
        assert termios.tcgetattr(shell.slave)[3] & termios.ICANON and termios.tcgetattr(shell.slave)[3] & termios.ECHO
        shell.keys("fg\r")
        shell.until(lambda lines: shell.screen.alternate is not None and name_of(lines[-1]) == "one")
        peer.samples(sample("two", 1))
        shell.until(lambda lines: name_of(lines[-1]) == "two")
        shell.keys("q")
        shell.until(lambda lines: shell.screen.alternate is None and lines[-1].startswith("@@"))
        shell.keys("echo code=$?\r")
        shell.until(lambda lines: "code=0" in lines)
    finally:
        shell.close()


@contextlib.contextmanager
def piped(fake, *arguments, **environment):
    """The client without a terminal."""
    client = subprocess.Popen(
        fake.command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**{k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}, **environment},
    )
    try:
        yield client
    finally:
        if client.poll() is None:
            client.kill()
        client.communicate()


def test_lines_where_there_is_no_terminal(fake):
    with piped(fake, "stats", TERM="xterm") as client:
        peer = fake.stats()
        assert peer.call == {}
        peer.samples(full(0))
        peer.samples(full(1))
        assert cells(client.stdout.readline()) == HEADINGS
        assert cells(client.stdout.readline()) == FULL
        # a final sample is no tick, so no block
        peer.samples(sample("gone", 1, final=True))
        peer.samples(sample("b", 2), complete=False)
        peer.samples(sample("a", 2))
        assert [name_of(client.stdout.readline()) for _ in range(2)] == ["a", "b"]
        peer.samples(sample("b", 3, final=True), continues=False)
        out, errors = client.communicate(timeout=PATIENCE)
        assert (client.returncode, out, errors) == (0, "", "")


def test_a_dumb_terminal_gets_lines(fake, live):
    t = live("stats", TERM="dumb")
    peer = fake.stats()
    for tick in range(3):
        peer.samples(full(tick), continues=tick < 2)
    assert t.end() == 0
    assert b"\x1b" not in t.raw
    assert [name_of(x) for x in t.screen.text()] == ["ID", "full", "full"]


def test_no_stream(fake, live):
    with piped(fake, "stats", "--no-stream", "c") as client:
        peer = fake.stats()
        assert peer.more and peer.call == {"containers": ["c"], "intervalUsec": 250_000}
        peer.samples(full(0))
        peer.samples(full(1))
        out, errors = client.communicate(timeout=PATIENCE)
    assert [cells(line) for line in out.splitlines()] == [HEADINGS, FULL]
    assert client.returncode == 0 and errors == ""
    # on a terminal it is no live table
    t = live("stats", "--no-stream", "--interval", "0.5")
    peer = fake.stats()
    assert peer.call == {"intervalUsec": 500_000}
    peer.samples(full(0))
    peer.samples(full(1))
    assert t.end() == 0
    assert b"\x1b" not in t.raw and cells(t.screen.text()[1]) == FULL


def test_no_stream_of_what_ends_meanwhile(fake):
    with piped(fake, "stats", "--no-stream", "a") as client:
        peer = fake.stats()
        peer.samples(sample("a"))
        peer.samples(sample("a", 1, final=True), continues=False)
        out, errors = client.communicate(timeout=PATIENCE)
    assert (client.returncode, errors) == (0, "") and cells(out.splitlines()[0]) == HEADINGS


@pytest.mark.parametrize("verb", ["stats", "top"])
def test_json(fake, verb):
    with piped(fake, verb, "--format", "json", "--interval", "0.1") as client:
        peer = fake.stats()
        assert peer.more and peer.call == {"intervalUsec": 100_000}
        sent = [full(0), sample("b"), sample("b", 1, final=True), full(1)]
        peer.samples(*sent[:2])
        # each as it comes
        assert [json.loads(client.stdout.readline()) for _ in range(2)] == sent[:2]
        peer.samples(sent[2])
        peer.samples(sent[3], continues=False)
        out, _ = client.communicate(timeout=PATIENCE)
    assert [json.loads(line) for line in out.splitlines()] == sent[2:]
    assert client.returncode == 0


def test_json_once(fake):
    with piped(fake, "stats", "--format", "json", "--no-stream") as client:
        peer = fake.stats()
        assert not peer.more and peer.call == {}
        peer.samples(full(0), continues=False)
        out, _ = client.communicate(timeout=PATIENCE)
    assert [json.loads(line) for line in out.splitlines()] == [full(0)]


# top -------------------------------------------------------------------------------------------------------------------


def history(peer, client, ticks):
    """CPU in steps of an eighth of one, memory in steps of an eighth of its limit, a step each second."""
    used = 0
    for tick in range(ticks):
        used += (tick % 9) * SECOND // 8
        memory = (tick % 9) * 8 * MIB
        one = sample("one", tick, cpu_usageUsec=used, memory_workingSet=memory, memory_limit=64 * MIB, pids_current=tick)
        idle = sample("idle", tick, cpu_usageUsec=0, memory_workingSet=MIB, pids_current=tick)
        peer.samples(one, idle, sample("void", tick))
        for name in ("one", "idle"):  # the screen is drawn line by line
            client.until(lambda lines, n=tick, of=name: any(x.startswith(f"{of} ") and x.endswith(f" {n}") for x in lines))


def test_top_has_the_last_minute(fake, live):
    t = live("top", columns=200)
    peer = fake.stats()
    assert peer.call == {} and peer.more
    history(peer, t, 9)
    lines = t.screen.text()
    assert cells(lines[0]) == ["NAME", "CPU %", "CPU 1 MIN", "MEM USAGE", "MEM %", "MEM 1 MIN", "PIDS"]
    assert [line.split()[0] for line in lines[1:]] == ["one", "idle", "void"], "sorted by CPU"
    assert cells(lines[1]) == ["one", "100.00%", "▂▃▄▅▆▇██", "64.0MiB", "100.00%", "▁▂▃▄▅▆▇██", "8"]
    assert cells(lines[2]) == ["idle", "0.00%", "▁" * 8, "1.0MiB", "-", "█" * 9, "8"]
    assert cells(lines[3]) == ["void", "-", "-", "-", "-"]
    # the newest is on the right: a minute is 60 columns here
    at = lines[0].index("CPU 1 MIN")
    assert lines[1][at : at + 60] == " " * 52 + "▂▃▄▅▆▇██"
    t.keys("a")
    t.until(lambda lines: [line.split()[0] for line in lines[1:]] == ["idle", "one", "void"])
    t.keys("q")
    assert t.end() == 0


@pytest.mark.parametrize("columns,bars", [(80, 15), (100, 20), (120, 30), (180, 60)])
def test_top_fits(fake, live, columns, bars):
    t = live("top", columns=columns)
    peer = fake.stats()
    history(peer, t, 70)
    lines = t.screen.text()
    at = lines[0].index("CPU 1 MIN")
    assert re.fullmatch(rf"[▁-█]{{{bars}}} +", lines[1][at : lines[0].index("MEM USAGE")]), lines[1]


@pytest.mark.parametrize("locale", [{"LANG": "C"}, {"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, {}])
def test_top_in_ascii(fake, locale):
    with piped(fake, "top", "--no-stream", **locale) as client:
        peer = fake.stats()
        peer.samples(sample("a", 0, cpu_usageUsec=0, memory_workingSet=5, memory_limit=10))
        peer.samples(sample("a", 3, cpu_usageUsec=3 * SECOND, memory_workingSet=0, memory_limit=10))
        out, _ = client.communicate(timeout=PATIENCE)
    assert out.isascii() and cells(out.splitlines()[1]) == ["a", "100.00%", "##", "0B", "0.00%", "=_", "-"]


def test_top_without_a_terminal(fake):
    with piped(fake, "top", "--sort", "name") as client:
        peer = fake.stats()
        for tick in range(3):
            peer.samples(sample("b", tick), sample("a", tick))
        assert client.stdout.readline().startswith("NAME  CPU %")
        assert [client.stdout.readline().split()[0] for _ in range(4)] == ["a", "b", "a", "b"]


def test_top_of_a_container_shows_its_processes(fake):
    process = {"pid": 1, "parentPid": 0, "hostPid": 77, "uid": 0, "state": "S", "threads": 1, "memory": MIB, "cpuUsec": 0}
    with piped(fake, "top", "c") as client:
        peer = fake.accept()
        assert peer.receive("Processes") == {"container": "c"}
        peer.reply("Processes", {"processes": [{**process, "startedUsec": 0, "command": ["sleep", "9"]}]})
        out, _ = client.communicate(timeout=PATIENCE)
    assert cells(out.splitlines()[1])[:3] == ["1", "77", "0"] and client.returncode == 0


@pytest.mark.parametrize(
    "arguments,words",
    [
        (["stats", "--sort", "size"], ["--sort", '"size"', "throttled"]),
        (["stats", "--interval", "0"], ["--interval", '"0"', "0.1 or more"]),
        (["stats", "--interval", "0.09"], ["--interval", '"0.09"', "0.1 or more"]),
        (["stats", "--interval", "-1"], ["--interval", '"-1"', "seconds"]),
        (["stats", "--format", "yaml"], ["--format", '"yaml"', "table or json"]),
        (["top", "--sort", "size"], ["--sort", '"size"', "throttled"]),
        (["top", "--sort", "cpu", "c"], ["--sort", "without a container"]),
        (["top", "--interval", "1", "c"], ["--interval", "without a container"]),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, list) else x,
)
def test_refused_flags(fake, arguments, words):
    refused(fake, arguments, words)


# limits ----------------------------------------------------------------------------------------------------------------


def refused(fake, arguments, words):
    out = subprocess.run(
        fake.command(*arguments), capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False
    )
    assert (out.returncode, out.stdout) == (125, ""), out
    first = out.stderr.splitlines()[0]
    assert first.startswith("kennel: ") and all(word in first for word in words), first


WRONG = [
    (["-m", "0"], ["-m/--memory", '"0"', "4194304"]),
    (["--memory-swap", "-2"], ["--memory-swap", '"-2"']),
    (["--memory-high", "x"], ["--memory-high", '"x"', "64M"]),
    (["--cpus", "0"], ["--cpus", '"0"', "0.01"]),
    (["--cpu-weight", "10001"], ["--cpu-weight", '"10001"', "1 to 10000"]),
    (["--cpuset-cpus", "1-"], ["--cpuset-cpus", '"1-"', "0-2,5"]),
    (["--pids-limit", "0"], ["--pids-limit", '"0"', "1 or more"]),
    (["--io-weight", "0"], ["--io-weight", '"0"', "1 to 10000"]),
    (["--device-read-bps", "/dev/null:1M"], ["--device-read-bps", "/dev/null", "block device"]),
    (["--device-write-bps", "/dev/nothing:1M"], ["--device-write-bps", "/dev/nothing", "/dev/sda"]),
    (["--device-read-iops", "8:0:1"], ["--device-read-iops", '"1"', "2 or more"]),
    (["--device-write-iops", "8:0:x"], ["--device-write-iops", '"x"']),
    (["--disk", "1k"], ["--disk", '"1k"', "1048576"]),
    (["--disk-inodes", "1"], ["--disk-inodes", '"1"', "16"]),
    (["--net-rate", "1k"], ["--net-rate", '"1k"', "8000"]),
    (["--net-rate", "in=1M,in=2M"], ["--net-rate", "in=2M"]),
]
IDS = [w[0][0].strip("-") for w in WRONG]


@pytest.mark.parametrize("verb,operand", [("run", "true"), ("update", "c")])
@pytest.mark.parametrize("flags,words", WRONG, ids=IDS)
def test_limits_refused(fake, flags, words, verb, operand):
    refused(fake, [verb, *flags, operand], words)


@pytest.mark.parametrize(
    "flags,words",
    [
        (["-p", "80"], ["-p/--publish", '"80"', "HOST:CONTAINER"]),
        (["-p", "0:80"], ["-p/--publish", '"0"', "1 to 65535"]),
        (["-p", "80:80/sctp"], ["-p/--publish", '"sctp"', "tcp or udp"]),
        (["-p", "::1:80:80"], ["-p/--publish", "IPv4"]),
        (["--tmpfs", "/a:size=1"], ["--tmpfs", '"1"', "4096"]),
        (["--tmpfs", "/a:inodes=1"], ["--tmpfs", '"1"', "2 or more"]),
        (["--network", "other"], ["--network", '"other"', "bridge"]),
        (["--exec-policy", "imageOnly"], ["--exec-policy", '"imageOnly"', "image-only"]),
        (["--watch", "cpu"], ["--watch", '"cpu"', "DETECTOR=ACTION"]),
        (["--security-opt", "label=x"], ["--security-opt", "label=level:s0:c1,c2"]),
    ],
    ids=lambda x: "-".join(x).replace("/", "_") if isinstance(x, list) else x,
)
def test_flags_of_run_refused(fake, flags, words):
    refused(fake, ["run", *flags, "--", "true"], words)


def test_run_sends_every_limit(fake):
    flags = "-m 64M --memory-swap -1 --memory-high 32M --cpus 1.5 --cpu-weight 50 --cpuset-cpus 0-1 --pids-limit none"
    flags += " --io-weight 20 --device-read-bps 8:0:1M --device-write-iops 8:0:7 --disk 1G --disk-inodes 1000"
    flags += " --net-rate in=1M,out=none --network bridge -p 127.0.0.1:8080:80 -p 53:53/udp --tmpfs /t:inodes=5"
    with piped(fake, "run", "-d", *flags.split(), "--", "true") as client:
        peer = fake.accept()
        call = peer.receive("Run")
        peer.error("LimitUnavailable", controller="io", reason="no scheduler heeds weights")
        _, errors = client.communicate(timeout=PATIENCE)
    assert client.returncode == 125 and errors == "kennel: this host cannot limit io: no scheduler heeds weights\n"
    assert call["limits"] == {
        "memory": 64 * MIB,
        "memoryHigh": 32 * MIB,
        "cpuQuotaPerSecUsec": 1_500_000,
        "cpuWeight": 50,
        "cpusetCpus": "0-1",
        "ioWeight": 20,
        "ioDevices": [{"device": "8:0", "readBps": MIB, "writeIops": 7}],
        "disk": 1 << 30,
        "inodes": 1000,
        "netRateIn": 1_000_000,
        "unlimited": ["memorySwap", "pids", "netRateOut"],
    }
    assert call["network"] == "bridge" and call["tmpfs"] == [{"path": "/t", "inodes": 5}]
    assert call["ports"] == [
        {"hostAddress": "127.0.0.1", "host": 8080, "container": 80, "protocol": "tcp"},
        {"host": 53, "container": 53, "protocol": "udp"},
    ]


def test_a_block_device_by_its_path(fake, scratch):
    node = scratch / "disk"
    os.mknod(node, 0o600 | 0o060000, os.makedev(240, 17))
    with piped(fake, "update", "--device-read-bps", f"{node}:1M", "c") as client:
        peer = fake.accept()
        call = peer.receive("Update")
        assert call == {"limits": {"ioDevices": [{"device": "240:17", "readBps": MIB}]}, "container": "c"}
        peer.reply("Update", {"limits": {}})
        client.communicate(timeout=PATIENCE)


def test_update_prints_the_names_as_docker_does(fake):
    with piped(fake, "update", "-m", "128M", "a", "b", "c") as client:
        peer = fake.accept()
        for name in "abc":
            assert peer.receive("Update") == {"container": name, "limits": {"memory": 128 * MIB}}
            if name == "b":
                peer.error("InvalidSpec", field="limits.memory", reason="below what is in use")
            else:
                peer.reply("Update", {"limits": {"memory": 128 * MIB}})
        out, errors = client.communicate(timeout=PATIENCE)
    assert (client.returncode, out) == (1, "a\nc\n")
    assert errors == "kennel: -m/--memory: below what is in use (field limits.memory)\n"


def test_update_without_a_limit(fake):
    refused(fake, ["update", "c"], ["nothing to change"])


# events and info -------------------------------------------------------------------------------------------------------


def event(kind, **more):
    return {"timestampUsec": 1_700_000_000_000_000, "kind": kind, "container": "a" * 64, "name": "web", "owner": 0, **more}


def test_events_at_the_limits(fake):
    events = [
        event("oom", message="2 processes"),
        event("limitReached", limit="pids", message="17 refused"),
        event("updated", message="memory 128 MiB"),
    ]
    for form in ("table", "json"):
        with piped(fake, "events", "--since", "1h", "--format", form) as client:
            peer = fake.accept()
            assert set(peer.receive("Events")) == {"sinceUsec", "follow"}
            for e in events:
                peer.reply("Events", {"event": e}, continues=True)
            peer.reply("Events", {})
            out, _ = client.communicate(timeout=PATIENCE)
        if form == "json":
            assert [json.loads(line) for line in out.splitlines()] == events
        else:
            assert [re.split(r" +", line, maxsplit=5)[1:] for line in out.splitlines()] == [
                ["oom", "a" * 12, "web", "owner=0", "2 processes"],
                ["limitReached", "a" * 12, "web", "owner=0", "limit=pids 17 refused"],
                ["updated", "a" * 12, "web", "owner=0", "memory 128 MiB"],
            ]


def test_info_has_storage_and_ceilings(fake):
    info = {name: "x" for name in ("version", "kernel", "hierarchy", "cgroupRoot", "stateDirectory", "dataDirectory")}
    info |= {"containers": 1, "running": 1, "storage": "fileSystem", "controls": [], "detectors": []}
    limits = {"memory": 512 * MIB, "cpuQuotaPerSecUsec": 500_000, "pids": None, "netRateIn": 10_000_000}
    for ceilings in ({}, limits):
        with piped(fake, "info") as client:
            peer = fake.accept()
            peer.receive("Info")
            peer.reply("Info", {**info, "tenantLimits": ceilings})
            out, _ = client.communicate(timeout=PATIENCE)
        assert re.search(r"^Storage +a file system for each container$", out, re.M)
        rows = {tuple(cells(line)) for line in out.splitlines()}
        expected = {("memory", "512MiB"), ("cpuQuotaPerSecUsec", "0.5 CPUs"), ("netRateIn", "10000000 bit/s")}
        assert rows >= expected if ceilings else "AT MOST" not in out
        assert not any(row[0] == "pids" for row in rows)
