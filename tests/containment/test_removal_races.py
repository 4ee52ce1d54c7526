# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Removal never takes the wrong process: numbers are given to others on purpose while rogues are killed, and what forks as
fast as it can is gone within a second. KENNEL_RACE_ROUNDS is how many rounds; 10,000 take some minutes.
"""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest
from kenneld import PATIENCE, SANITIZED, SLOWNESS, host_pids_of, wait_for
from rogues import LOOK, Follower, Service, cgroup2_directory, numbers_of, start_time
from varlink import VarlinkError

ROUNDS = int(os.environ.get("KENNEL_RACE_ROUNDS", "200" if SANITIZED else "1000"))
PID_MAX = 316  # of the pid namespace: the kernel gives out those from 300 on, again and again
SYSCTL = "/proc/sys/kernel/pid_max"


def in_pid_namespace(pid, *command):
    return subprocess.run(["nsenter", f"--pid=/proc/{pid}/ns/pid", *command], capture_output=True, text=True, check=False)


@contextlib.contextmanager
def few_numbers(pid):
    """The pid namespace of PID gives out few numbers, so that each comes again soon. False where the kernel (before 6.14)
    has one limit for all namespaces; then those who need a certain number are given it by way of ns_last_pid."""
    here = pathlib.Path(SYSCTL).read_text()
    own = in_pid_namespace(pid, "readlink", "/proc/self/ns/pid")
    version = tuple(map(int, os.uname().release.split(".")[:2]))
    if version < (6, 14):
        yield False
        return
    assert own.returncode == 0, own
    done = in_pid_namespace(pid, "sh", "-c", f"echo {PID_MAX} >{SYSCTL}")
    assert pathlib.Path(SYSCTL).read_text() == here, "that was the host's!"
    assert done.returncode == 0, done
    yield True


class Races:
    """tests/containment/rogue.c as `races`, the first process of a container."""

    def __init__(self, kennel, root, share):
        share.mkdir()
        share.chmod(0o777)
        self.container = kennel.start_container(
            "--rootfs", root, "-v", f"{share}:/share", command=("/bin/rogue", "races", "/share/races")
        )
        self.host_pid = kennel.inspect(self.container)["container"]["pid"]
        path = wait_for(lambda: (share / "races").exists() and share / "races", "the helper")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        wait_for(lambda: self._connect(path), "the helper to listen")
        self.lines = self.socket.makefile()

    def _connect(self, path):
        with contextlib.suppress(OSError):
            self.socket.connect(str(path))
            return True
        return False

    def forward(self):
        self.socket.sendall(b"f")
        assert int(self.lines.readline()) >= 300

    def victim(self):
        self.socket.sendall(b"v")
        return int(self.lines.readline())

    def ended_by(self):
        return int(self.lines.readline())

    def sum(self):
        self.socket.sendall(b"q")
        return tuple(map(int, self.lines.readline().split()))


class LastPid:
    """Where there is no low pid_max: makes a number the next one to be given out in a pid namespace."""

    def __init__(self, pid):
        # its standard input says after which number to go on; written by the shell's own echo, without a fork in between
        script = "while read -r n; do echo $n >/proc/sys/kernel/ns_last_pid; echo; done"
        command = ["nsenter", f"--pid=/proc/{pid}/ns/pid", "sh", "-c", script]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def next_is(self, number):
        self.process.stdin.write(f"{number - 1}\n")
        self.process.stdout.readline()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def test_numbers_given_to_others_while_rogues_are_killed(kennel, rogue_root, scratch):
    """Each victim's number is an innocent process's as soon as the kernel gives it out again: none of those dies."""
    races = Races(kennel, rogue_root, scratch / "share")
    begin = time.monotonic()
    with few_numbers(races.host_pid) as few, kennel.connect() as c:
        last = None if few else LastPid(races.host_pid)
        if few:
            races.forward()
        try:
            for n in range(ROUNDS):
                pid = races.victim()
                host_pid = numbers_of(races.container)[pid] if n % 4 == 0 else None
                if last:
                    last.next_is(pid)
                which = {"hostPid": host_pid} if n % 8 == 4 else {"pid": pid}
                receipt = c.call("Kill", container=races.container, descendants=n % 2 == 0, **which)["receipt"]
                assert receipt["outcome"] == "dead" and receipt["pid"] == pid and receipt["processes"] == 1, receipt
                assert host_pid is None or receipt["hostPid"] == host_pid, (receipt, host_pid)
                assert races.ended_by() == 9
            killed, taken = races.sum()
        finally:
            if last:
                last.close()
    print(f"{ROUNDS} rounds in {time.monotonic() - begin:.1f} s; {taken} numbers were taken over")
    assert killed == 0, f"{killed} innocent processes were killed"
    assert taken > ROUNDS * (0.95 if few else 0.5), "the numbers were not taken over, nothing was shown"
    assert host_pids_of(races.container) == [races.host_pid]


def take_over(rogue, container, pid, host_pid, timeout=PATIENCE):
    """A process in the container with these two numbers, which are free: a Popen of the host's that waits for it."""
    directory, init = cgroup2_directory(container), numbers_of(container)[1]
    deadline = time.monotonic() + timeout
    while True:
        command = [rogue, "take", str(init), directory, str(pid), str(host_pid)]
        taker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if taker.stdout.readline():
            return taker
        error = taker.communicate()[1]
        if "Operation not permitted" in error or "Invalid argument" in error:
            pytest.skip(f"no process can be given a number here: {error}")
        assert "File exists" in error and time.monotonic() < deadline, error


def let_go(taker, expected):
    """Ends the taker's process, and says how: it must not have been killed by anybody else."""
    (child,) = pathlib.Path(f"/proc/{taker.pid}/task/{taker.pid}/children").read_text().split() or [None]
    if child:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), 15)
    out, _ = taker.communicate(timeout=PATIENCE)
    assert f"ended by {expected}" in out, out


@pytest.mark.parametrize("again", range(3))
def test_a_finding_whose_numbers_are_anothers(kennel, rogue, rogue_root, scratch, again):
    """The rogue has ended, and an innocent process has its pid inside and its pid on the host, in the same cgroup: only the
    start time tells them apart. `rogues --kill` does not touch it."""
    share = scratch / "share"
    share.mkdir()
    shutil.copy2(rogue, share / "kit")
    service = Service(kennel, share, rogue_root)
    follower = Follower(kennel, service.container)
    try:
        since = time.monotonic()
        pid = service.start("/share/kit", "kit", "serve", "/tmp/x")
        finding = follower.wait(since, LOOK, kind="foreignProgram", pid=pid)
    finally:
        follower.close()
    host_pid = finding["hostPid"]
    before = start_time(host_pid)
    kennel.kennel("exec", service.container, "/bin/kill", "-TERM", str(pid)).ok()
    wait_for(lambda: not pathlib.Path(f"/proc/{host_pid}").exists(), "the rogue to be gone")
    taker = take_over(rogue, service.container, pid, host_pid)
    try:
        assert numbers_of(service.container)[pid] == host_pid and start_time(host_pid) > before
        reply = kennel.call("Rogues", container=service.container, kill=True)
        # of what had ended before there may be a receipt that says so, or none
        told = [r for r in reply["receipts"] if r["hostPid"] == host_pid or r["pid"] == pid]
        assert all(r["outcome"] == "gone" and r["processes"] == 0 for r in told), told
        kennel.kennel("rogues", "--kill", service.container)
        assert start_time(host_pid) is not None, "an innocent process was killed"
    finally:
        let_go(taker, 15)


@pytest.mark.parametrize("how", ["pid", "hostPid"])
def test_a_process_of_another_container(kennel, rogue_root, how):
    """A number that is somebody else's is nobody's here."""
    one = kennel.start_container("--rootfs", rogue_root)
    two = kennel.start_container("--rootfs", rogue_root, command=("/bin/sh", "-c", "sleep 1000 & sleep 1000 & sleep 1000 & wait"))
    theirs = wait_for(lambda: len(numbers_of(two)) == 4 and numbers_of(two), "four processes")
    for pid, host_pid in theirs.items():
        if how == "pid" and pid == 1:
            continue
        with pytest.raises(VarlinkError) as e:
            kennel.call("Kill", container=one, **{how: host_pid if how == "hostPid" else pid})
        assert e.value.name == "io.kennel.NoSuchProcess", e.value
    assert numbers_of(two) == theirs
    assert len(numbers_of(one)) == 1


def test_of_the_host(kennel, rogue_root):
    """Nor is one of the host's, or of the test's own, or the daemon."""
    container = kennel.start_container("--rootfs", rogue_root)
    canary = subprocess.Popen(["sleep", "1000"])
    try:
        for host_pid in (canary.pid, 1, 2, kennel.process.pid, os.getpid()):
            with pytest.raises(VarlinkError) as e:
                kennel.call("Kill", container=container, hostPid=host_pid, descendants=True)
            assert e.value.name == "io.kennel.NoSuchProcess", e.value
        assert canary.poll() is None
    finally:
        canary.kill()
        canary.wait()


def test_many_at_once(kennel, rogue_root):
    """Kills of different processes, asked for at the same time over several connections: each takes its own."""
    script = "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done; wait"
    container = kennel.start_container("--rootfs", rogue_root, command=("/bin/sh", "-c", script))
    numbers = wait_for(lambda: len(numbers_of(container)) == 61 and numbers_of(container), "all processes")
    targets, receipts, wrong = sorted(numbers)[1:41], {}, []

    def kill(pids):
        try:
            with kennel.connect() as c:
                for pid in pids:
                    receipts[pid] = c.call("Kill", container=container, pid=pid)["receipt"]
        except Exception as e:  # noqa: BLE001
            wrong.append(e)

    threads = [threading.Thread(target=kill, args=(targets[n::8],)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong
    assert {p: (r["outcome"], r["hostPid"]) for p, r in receipts.items()} == {p: ("dead", numbers[p]) for p in targets}
    assert numbers_of(container) == {p: h for p, h in numbers.items() if p not in targets}


def test_the_first_process_is_the_container(kennel, rogue_root):
    """Whoever asks for it in so many words kills all of it, and is told so."""
    for which in ("pid", "hostPid"):
        container = kennel.start_container("--rootfs", rogue_root)
        host_pid = kennel.inspect(container)["container"]["pid"]
        receipt = kennel.call("Kill", container=container, **{which: 1 if which == "pid" else host_pid})["receipt"]
        assert receipt["outcome"] == "dead" and receipt["pid"] is None and receipt["hostPid"] is None, receipt
        assert kennel.wait_exited(container)["signal"] == "KILL"


def test_a_first_process_that_is_rogue_is_spared(kennel, rogue, rogue_root, scratch):
    """`rogues --kill` ends no container."""
    shutil.copy2(rogue, scratch / "kit")
    command = ("/bin/sh", "-c", "sleep 0.2; exec /share/kit serve /tmp/x")
    container = kennel.start_container("--rootfs", rogue_root, "-v", f"{scratch}:/share:ro", command=command)
    wait_for(lambda: kennel.call("Rogues", container=container)["findings"], "the finding", 2 * LOOK)
    reply = kennel.call("Rogues", container=container, kill=True)
    assert [(r["outcome"], r["pid"]) for r in reply["receipts"]] == [("spared", 1)], reply["receipts"]
    assert kennel.inspect(container)["container"]["state"] == "running"


def test_a_frozen_container_stays_so(kennel, rogue_root):
    container = kennel.start_container("--rootfs", rogue_root, command=("/bin/sh", "-c", "sleep 1000 & sleep 1000 & wait"))
    numbers = wait_for(lambda: len(numbers_of(container)) == 3 and numbers_of(container), "three processes")
    kennel.kennel("pause", container).ok()
    target = sorted(numbers)[1]
    receipt = kennel.call("Kill", container=container, pid=target)["receipt"]
    # whether what is frozen dies at once depends on the kernel; it never gets to run again
    assert receipt["outcome"] in ("dead", "dying"), receipt
    assert kennel.inspect(container)["container"]["state"] == "paused"
    kennel.kennel("unpause", container).ok()
    wait_for(lambda: set(numbers_of(container)) == set(numbers) - {target}, "that one to be gone, and no other")


# --- what forks ---------------------------------------------------------------------------------------------------------


def full(container, limit=1024):
    return wait_for(lambda: len(host_pids_of(container)) > limit - 100, "processes up to the limit")


def nothing_runs(container):
    """No process is in the cgroup any more. Those that the kernel is still burying are listed in /proc for a moment."""
    procs = pathlib.Path(cgroup2_directory(container), "cgroup.procs")
    return not procs.exists() or procs.read_text() == ""


FAST = 1.0 * SLOWNESS  # seconds


@pytest.mark.unsanitized
@pytest.mark.parametrize("how", ["bomb", "rabbit"])
def test_a_container_that_forks_as_fast_as_it_can(kennel, rogue_root, how):
    container = kennel.start_container("--rootfs", rogue_root, command=("/bin/sh", "-c", f"rogue {how} & wait; sleep 1000"))
    cgroup2_directory(container)
    if how == "bomb":
        full(container)
    else:
        # for the numbers to run: no process of these lives long
        wait_for(lambda: len(host_pids_of(container)) >= 2 and max(numbers_of(container)) > 1000, "it to be at work")
    begin = time.monotonic()
    done = kennel.kennel("kill", container)
    took = time.monotonic() - begin
    assert nothing_runs(container)
    assert done.ok() and re.search(r"\d", done.stdout), f"no time is told: {done}"
    assert took < FAST, f"{took:.2f} s: {done.stdout}"


@pytest.mark.unsanitized
def test_the_receipt_of_a_container(kennel, rogue_root):
    container = kennel.start_container("--rootfs", rogue_root, command=("/bin/sh", "-c", "rogue bomb & wait; sleep 1000"))
    full(container), cgroup2_directory(container)
    receipt = kennel.call("Kill", container=container)["receipt"]
    assert nothing_runs(container)
    assert receipt["outcome"] == "dead" and receipt["pid"] is None and receipt["hostPid"] is None, receipt
    assert receipt["durationUsec"] < FAST * 1e6, receipt


@pytest.mark.unsanitized
def test_one_process_that_forks_as_fast_as_it_can(kennel, rogue_root):
    """With its descendants; the rest of the container runs on."""
    script = "sleep 1000 & rogue bomb & wait; sleep 1000"
    container = kennel.start_container("--rootfs", rogue_root, command=("/bin/sh", "-c", script))
    full(container)
    first = next(p for p, h in numbers_of(container).items() if p != 1 and parent_and_name(h) == (1, "rogue"))
    begin = time.monotonic()
    receipt = kennel.call("Kill", container=container, pid=first, descendants=True)["receipt"]
    took = time.monotonic() - begin
    assert receipt["outcome"] == "dead" and receipt["processes"] > 800, receipt
    left = sorted(pathlib.Path(f"/proc/{h}/comm").read_text().strip() for h in numbers_of(container).values())
    assert left == ["sh", "sleep"] or left == ["sleep", "sleep"], left
    assert took < FAST, f"{took:.2f} s"


def parent_and_name(host_pid):
    """Parent's pid inside, and name."""
    with contextlib.suppress(OSError):
        status = pathlib.Path(f"/proc/{host_pid}/status").read_text()
        parent = int(re.search(r"PPid:\s+(\d+)", status)[1])
        above = pathlib.Path(f"/proc/{parent}/status").read_text()
        return int(above.split("NSpid:")[1].split("\n")[0].split()[-1]), re.search(r"Name:\s+(\S+)", status)[1]
    return None
