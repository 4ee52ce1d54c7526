# SPDX-License-Identifier: LGPL-2.1-or-later
"""
An intrusion in four steps, with harmless stand-ins, in one container: a service is made to start something, tools are
brought in, the kernel is asked for what nobody needs, and an agent hides and calls home. Each step has its finding within a
second, everything is removed again, and the service never notices.
"""

import errno
import os
import pathlib
import re
import shutil
import signal
import time

import pytest
from kenneld import PATIENCE, host_pids_of, wait_for
from rogues import LOOK, SECOND, UNANSWERED, Follower, Service, digest, listen_in, numbers_of

BUSYBOX = "/bin/busybox"
HIGH_ENOUGH = ("medium", "high")  # for `rogues --kill`

# As tests/containment/rogue.c makes them: number on x86-64 and AArch64, arguments that it gives.
CALLS = {
    "mount": ({"x86_64": 165, "aarch64": 40}, [0, 0, 0, 0, 0]),
    "init_module": ({"x86_64": 175, "aarch64": 105}, [0, 0]),
    "bpf": ({"x86_64": 321, "aarch64": 280}, [2**64 - 1]),
    "unshare": ({"x86_64": 272, "aarch64": 97}, [0x10000000]),
    "kexec_load": ({"x86_64": 246, "aarch64": 104}, [0, 0, 0, 0]),
}


@pytest.fixture
def share(scratch, rogue):
    """A volume; what is brought into the container is read from it, and run from elsewhere."""
    share = scratch / "share"
    share.mkdir()
    shutil.copy2(rogue, share / "kit")
    shutil.copy2(BUSYBOX, share / "busybox")
    return share


@pytest.fixture(params=["host", "rootfs"])
def service(request, kennel, share):
    root = request.getfixturevalue("rogue_root") if request.param == "rootfs" else None
    return Service(kennel, share, root, flags=("--tmpfs", "/scratch"))


def findings(kennel, container):
    return kennel.call("Rogues", container=container)["findings"]


def check_program(finding, path, source):
    """What is said of the program, held against the file that it is a copy of."""
    assert finding["program"] == path, finding
    assert finding["programSize"] == os.path.getsize(source), finding
    assert finding["programSha256"] == digest(source), finding


def check_common(kennel, service, finding, pid):
    """What every finding about a process has, held against what the host's /proc says."""
    container = kennel.inspect(service.container)["container"]
    assert (finding["container"], finding["name"], finding["owner"]) == (container["id"], container["name"], os.getuid())
    assert finding["pid"] == pid
    host_pid = numbers_of(service.container).get(pid)
    assert finding["hostPid"] == host_pid, (finding, host_pid)
    assert finding["parents"], finding
    assert finding["parents"][-1]["pid"] == 1 and finding["parents"][-1]["hostPid"] == service.host_pid, finding
    now = time.time() * 1e6
    assert now - 60e6 < finding["startedUsec"] <= finding["lastUsec"] + 20_000 <= now + 40_000, finding
    assert finding["firstUsec"] <= finding["lastUsec"]
    assert finding["workingDirectory"] == "/", finding
    assert finding["evidence"] and "\n" not in finding["evidence"]
    assert finding["action"] == "report" and finding["receipt"] is None and finding["quarantined"] is None, finding


def step_one(kennel, service, follower):
    """The service does what it is told: a script that it was sent, by the image's own shell."""
    (service.share / "stage").write_text("#!/bin/sh\nread -r line <>/tmp/never\n")
    service.shell("mkfifo /tmp/never; cat /share/stage >/tmp/stage")
    wait_for(lambda: kennel.kennel("exec", service.container, "/bin/sh", "-c", "[ -s /tmp/stage ]").code == 0, "the script")
    since = time.monotonic()
    pid = service.start("/bin/sh", "sh", "/tmp/stage")
    f = follower.wait(since, kind="foreignScript", pid=pid)
    check_common(kennel, service, f, pid)
    assert f["command"] == ["sh", "/tmp/stage"], f
    assert "/tmp/stage" in f["evidence"] + (f["program"] or ""), f
    return [pid]


def copied(kennel, service, source, target):
    service.shell(f"cat {source} >{target}.new && chmod 755 {target}.new && mv {target}.new {target}")
    wait_for(lambda: kennel.kennel("exec", service.container, "/bin/sh", "-c", f"[ -x {target} ]").code == 0, f"{target} to be there")


def step_two(kennel, service, follower):
    """Tools under new names: in the writable layer, on three tmpfs, on the volume, and in memory alone."""
    pids = []
    for target in ("/tmp/scanner", "/dev/shm/tunnel", "/scratch/cracker", "/share/sniffer", "/miner"):
        copied(kennel, service, "/share/busybox", target)
        since = time.monotonic()
        pid = service.start(target, "busybox", "sleep", "1000")
        f = follower.wait(since, kind="foreignProgram", program=target)
        check_common(kennel, service, f, pid)
        check_program(f, target, BUSYBOX)
        assert f["command"] == ["busybox", "sleep", "1000"] and f["processName"] == target.rpartition("/")[2], f
        pids.append(pid)
    copied(kennel, service, "/share/kit", "/tmp/kit")
    since = time.monotonic()
    pid = service.start("/tmp/kit", "kit", "memfd", "ghost", "/share/busybox", "busybox", "sleep", "2000")
    check_program(follower.wait(since, kind="foreignProgram", program="/tmp/kit"), "/tmp/kit", service.share / "kit")
    f = follower.wait(since, kind="foreignProgram", program="memfd:ghost")
    check_common(kennel, service, f, pid)
    check_program(f, "memfd:ghost", BUSYBOX)
    assert f["command"] == ["busybox", "sleep", "2000"], f
    return [*pids, pid]


def step_three(kennel, service, follower):
    """Calls that the profile refuses: which, with what arguments, from whom, and what they were told."""
    since = time.monotonic()
    pid = service.start("/tmp/kit", "kit", "calls")
    for name, (numbers, arguments) in CALLS.items():
        f = follower.wait(since, kind="refusedCall", call=lambda c, name=name: c is not None and c["name"] == name)
        check_common(kennel, service, f, pid)
        call = f["call"]
        assert call["number"] == numbers.get(os.uname().machine, call["number"]), f
        given = [int(a, 16) for a in call["arguments"]]
        # an int is passed in the lower half of a register, whose upper half nobody promises anything about
        assert len(given) == 6 and all(g & 0xFFFFFFFF == w & 0xFFFFFFFF for g, w in zip(given, arguments)), f
        assert f["program"] == "/tmp/kit" and f["processName"] == "kit", f
        log = wait_for(lambda: re.search(rf"^{name} (\w+)$", kennel.kennel("logs", service.container).ok(), re.M), f"the answer to {name}")
        assert errno.errorcode[call["errno"]] == log[1], f
        assert name in f["evidence"], f
    return [pid]


def step_four(kennel, service, follower):
    """Twice forked, connected, renamed like a thread of the kernel's, its program deleted."""
    listener, port = listen_in(service.host_pid)
    with listener:
        copied(kennel, service, "/share/kit", "/tmp/agent")
        since = time.monotonic()
        service.start("/tmp/agent", "/tmp/agent", "agent", str(port), "kworker/0:1")
        connection, _ = listener.accept()
        connection.settimeout(PATIENCE)
        pid = int(connection.makefile().readline())
        f = follower.wait(since, kind="foreignProgram", program=lambda p: p is not None and "agent" in p)
        assert f["programSha256"] == digest(service.share / "kit"), f
        f = follower.wait(since, kind="disguise", pid=pid)
        check_common(kennel, service, f, pid)
        assert f["processName"] == "kworker/0:1", f
        assert f["programSha256"] == digest(service.share / "kit") and "/tmp/agent" in f["program"], f
        assert f["severity"] == "high", f
        g = follower.wait(since, LOOK, kind="deletedProgram", pid=pid)
        assert any(re.search(rf"tcp 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:{port} ", s) for s in g["sockets"]), g
    return [pid], connection


def all_steps(kennel, service, follower):
    pids = step_one(kennel, service, follower) + step_two(kennel, service, follower) + step_three(kennel, service, follower)
    more, connection = step_four(kennel, service, follower)
    return pids + more, connection


def removed(kennel, service, pids, connection, by_client=True):
    """`kennel rogues --kill` has removed all PIDS, and nothing else."""
    before = numbers_of(service.container)
    assert set(pids) <= set(before), "all of them live up to here"
    if by_client:
        text = kennel.kennel("rogues", "--kill", service.container).ok()
        receipts = {int(m[1]): (m[3], int(m[2])) for m in re.finditer(r"process (\d+) \(host (\d+)\): (\w+)", text)}
    else:
        reply = kennel.call("Rogues", container=service.container, kill=True)
        receipts = {r["pid"]: (r["outcome"], r["hostPid"]) for r in reply["receipts"]}
        assert all(r["durationUsec"] < 1_000_000 for r in reply["receipts"]), reply["receipts"]
    assert receipts == {pid: ("dead", before[pid]) for pid in pids}
    assert connection.recv(1) == b"", "the connection is still there"
    assert host_pids_of(service.container) == [service.host_pid], numbers_of(service.container)
    for pid in pids:
        assert not pathlib.Path(f"/proc/{before[pid]}").exists(), pid
    assert service.ask("ping") == 1
    assert kennel.inspect(service.container)["container"]["pid"] == service.host_pid


def test_four_steps(kennel, service):
    follower = Follower(kennel, service.container)
    try:
        assert service.ask("ping") == 1
        pids, connection = all_steps(kennel, service, follower)
    finally:
        follower.close()
    with connection:
        removed(kennel, service, pids, connection)
    # what there is to be found has been found: the service itself, the image's programs and `kennel exec` are none of it
    told = findings(kennel, service.container)
    assert {f["kind"] for f in told} == {"foreignScript", "foreignProgram", "refusedCall", "disguise", "deletedProgram"}, [
        (f["kind"], f["program"], f["evidence"]) for f in told
    ]
    assert {f["pid"] for f in told} & {1} == set(), told
    assert kennel.call("Rogues", container=service.container)["dropped"] <= UNANSWERED


# What is the newest process's may be that of another one that runs: the next daemon looks at all of them anew.
NEWEST = ("lastUsec", "count", "receipt", "action", "pid", "hostPid", "startedUsec")


def stable(finding):
    return {k: v for k, v in finding.items() if k not in NEWEST}


def test_findings_survive_and_are_acted_upon_after_kill_9(kennel, share, rogue_root):
    service = Service(kennel, share, rogue_root, flags=("--tmpfs", "/scratch"))
    follower = Follower(kennel, service.container)
    try:
        pids, connection = all_steps(kennel, service, follower)
    finally:
        follower.close()
    time.sleep(1.1 * SECOND)  # in which the newest process of a finding is written down
    before = findings(kennel, service.container)
    kennel.terminate(signal.SIGKILL, expected=-signal.SIGKILL)
    kennel.start()
    after = findings(kennel, service.container)
    assert [stable(f) for f in after][: len(before)] == [stable(f) for f in before]
    with connection:
        removed(kennel, service, pids, connection, by_client=False)


def test_what_is_found_after_kill_9(kennel, share, rogue_root):
    """The detectors look again at containers that they find running, and from then on."""
    service = Service(kennel, share, rogue_root, flags=("--tmpfs", "/scratch"))
    copied(kennel, service, "/share/kit", "/tmp/kit")
    time.sleep(3.1)  # what is younger than that is taken for one whose beginning was watched
    kennel.terminate(signal.SIGKILL, expected=-signal.SIGKILL)
    meanwhile = service.start("/tmp/kit", "kit", "serve", "/tmp/backdoor")
    kennel.start()
    follower = Follower(kennel, service.container)
    try:
        follower.wait(time.monotonic(), LOOK, kind="foreignProgram", pid=meanwhile)
        step_two(kennel, service, follower)
    finally:
        follower.close()


def test_a_follower_of_all_containers(kennel, share, rogue_root):
    """Without a container: findings of each, and of whichever starts later."""
    follower = Follower(kennel)
    try:
        service = Service(kennel, share, rogue_root)
        copied(kennel, service, "/share/busybox", "/tmp/x")
        since = time.monotonic()
        pid = service.start("/tmp/x", "busybox", "sleep", "1000")
        follower.wait(since, kind="foreignProgram", container=service.container, pid=pid)
    finally:
        follower.close()


def test_the_same_again_is_counted(kennel, share, rogue_root):
    service = Service(kennel, share, rogue_root)
    copied(kennel, service, "/share/busybox", "/tmp/x")
    for _ in range(20):
        service.start("/tmp/x", "busybox", "true")
    last = service.start("/tmp/x", "busybox", "sleep", "1000")
    wait_for(lambda: sum(f["count"] for f in findings(kennel, service.container)) >= 21, "all to be counted", 5 * SECOND)
    told = findings(kennel, service.container)
    assert len(told) == 1 and told[0]["count"] == 21 and told[0]["pid"] == last, told


def test_the_shortest_lives(kennel, share, rogue_root):
    """A program that ends at once is found all the same, with its path, its size and its hash."""
    service = Service(kennel, share, rogue_root)
    for n in range(10):
        copied(kennel, service, "/share/busybox", f"/tmp/short{n}")
    follower = Follower(kennel, service.container)
    try:
        for n in range(10):
            since = time.monotonic()
            service.start(f"/tmp/short{n}", "busybox", "true")
            check_program(follower.wait(since, kind="foreignProgram", program=f"/tmp/short{n}"), f"/tmp/short{n}", BUSYBOX)
    finally:
        follower.close()


@pytest.mark.unsanitized
def test_deleted_in_the_same_breath(kennel, share, rogue_root):
    """Dropped, started, deleted by itself, and gone: what it was is known all the same."""
    service = Service(kennel, share, rogue_root)
    follower = Follower(kennel, service.container)
    try:
        since = time.monotonic()
        service.shell("cp /share/kit /dev/shm/k && exec /dev/shm/k vanish")
        kinds = ("foreignProgram", "deletedProgram")
        follower.wait(since, LOOK, kind=lambda k: k in kinds, programSha256=digest(share / "kit"))
    finally:
        follower.close()


def test_one_program_many_processes(kennel, share, rogue_root):
    """What is counted in one finding is several processes: `rogues --kill` removes each of them."""
    service = Service(kennel, share, rogue_root)
    copied(kennel, service, "/share/busybox", "/tmp/x")
    pids = [service.start("/tmp/x", "busybox", "sleep", "1000") for _ in range(5)]
    wait_for(lambda: sum(f["count"] for f in findings(kennel, service.container)) >= 5, "all to be counted", 5 * SECOND)
    kennel.kennel("rogues", "--kill", service.container).ok()
    left = set(numbers_of(service.container)) & set(pids)
    assert not left, f"of {pids} there are still {left}"
    assert service.ask("ping") == 1
