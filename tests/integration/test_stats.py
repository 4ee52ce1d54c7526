# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stats on the wire: which replies a call has, how a tick is cut into them, and how a call ends."""

import contextlib
import itertools
import json
import os
import socket

import pytest

from kenneld import PATIENCE, Kenneld, wait_for
from varlink import VarlinkError

MANY = 70  # more than two slices of a tick
SLICE = 32
QUEUE = 4 * 2**20  # bytes that may wait for a slow reader, README's table of bounds


@pytest.fixture(scope="module")
def crowd(request):
    """A daemon with many containers, for tests that only look at them; `crowd.many` are their ids, the oldest first."""
    d = Kenneld().start()
    try:
        with d.connect(timeout=PATIENCE * 3) as c:
            d.many = [c.call("Run", command=["sleep", "infinity"])["container"]["id"] for _ in range(MANY)]
        d.ids.update(d.many)
        yield d
    finally:
        d.stop(keep=request.config.getoption("--keep"))


def tick_of(replies):
    """The replies of the next whole tick."""
    found = []
    for reply in replies:
        found.append(reply)
        if reply["complete"]:
            return found
    raise AssertionError("the stream has ended")


def ids_of(replies):
    return [s["container"] for r in replies for s in r["samples"]]


def test_a_tick_comes_in_slices(crowd):
    with crowd.connect() as c:
        stream = c.stream("Stats", intervalUsec=100000)
        for _ in range(3):
            tick = tick_of(stream)
            assert [len(r["samples"]) for r in tick] == [SLICE, SLICE, MANY - 2 * SLICE]
            assert [r["complete"] for r in tick] == [False, False, True]
            assert ids_of(tick) == crowd.many, "each once, the oldest first"


def test_of_some_only_these(crowd):
    wanted = [crowd.many[60], crowd.many[3][:8], crowd.many[3], crowd.many[40]]
    with crowd.connect() as c:
        tick = tick_of(c.stream("Stats", containers=wanted, intervalUsec=100000))
    assert sorted(ids_of(tick)) == sorted({crowd.many[60], crowd.many[3], crowd.many[40]}), "named twice, told once"


@pytest.mark.parametrize("n", [1, SLICE, SLICE + 1, MANY, None])
def test_once(crowd, n):
    """Without `more`, one reply with all, of a few as of many."""
    reply = crowd.call("Stats", containers=n and crowd.many[:n])
    assert reply["complete"] is True
    assert sorted(ids_of([reply])) == sorted(crowd.many[:n])


def test_once_while_others_subscribe(crowd):
    with crowd.connect() as c:
        stream = c.stream("Stats", intervalUsec=100000)
        for _ in range(5):
            tick_of(stream)
            assert len(crowd.call("Stats")["samples"]) == MANY
            assert len(crowd.call("Stats", containers=[crowd.many[50]])["samples"]) == 1


def test_slow_reader_is_dropped(crowd):
    """With an error, and in bounded memory; the others go on. SO_RCVBUF keeps the kernel from taking much on its behalf."""
    with socket.socket(socket.AF_UNIX) as slow, crowd.connect(check=False) as other:
        slow.settimeout(PATIENCE)
        slow.connect(str(crowd.socket))
        slow.sendall(json.dumps({"method": "io.kennel.Stats", "parameters": {"intervalUsec": 100000}, "more": True}).encode() + b"\0")
        connection = f"A connection of uid {os.geteuid()} is dropped"
        before = crowd.log().count(connection)
        stream = other.stream("Stats", intervalUsec=100000)
        for _ in range(2 * QUEUE // (MANY * 1000)):
            assert len(ids_of(tick_of(stream))) == MANY
            if crowd.log().count(connection) > before:
                break
        text = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while chunk := slow.recv(1 << 20):
                text += chunk
                assert len(text) < 4 * QUEUE, "it is not dropped"
        *replies, last, nothing = bytes(text).split(b"\0")
        assert nothing == b"", "the last message is whole"
        assert QUEUE < len(text) < QUEUE + 2**20
        assert all(json.loads(r)["continues"] for r in replies)
        error = json.loads(last)
        assert error["error"] == "io.kennel.QuotaExceeded" and error["parameters"]["resource"] == "queue"
        assert "slow reader" in error["parameters"]["reason"]
        assert len(ids_of(tick_of(stream))) == MANY


def ends(stream):
    """All replies up to the last, which says nothing but that it is."""
    *replies, last = itertools.islice(stream, 100)
    assert len(replies) < 99, "the call does not end"
    assert last == {"samples": [], "complete": True}
    return replies


def test_ends_with_the_last_of_those_named(kennel):
    for name in "abc":
        kennel.start_container("--name", name)
    with kennel.connect() as c:
        stream = c.stream("Stats", containers=["a", "b", "a"], intervalUsec=100000)
        assert len(ids_of([next(stream)])) == 2
        kennel.kennel("kill", "a").ok()
        seen = []
        while not any(s["final"] for r in seen for s in r["samples"]):
            assert len(seen) < 200, "there is no final sample"
            seen.append(next(stream))
        assert seen[-1]["samples"][0]["name"] == "a" and len(seen[-1]["samples"]) == 1, "in a reply of its own"
        assert [s["name"] for s in next(stream)["samples"]] == ["b"]
        kennel.kennel("rm", "-f", "b").ok()
        rest = ends(stream)
    samples = [s for r in rest for s in r["samples"]]
    assert [s["final"] for s in samples].count(True) == 1 and samples[-1]["final"], "and after it nothing more"
    assert samples[-1]["name"] == "b"


def test_of_one_whose_start_fails(kennel, scratch):
    """Its name is taken from the moment Run is called; whether the call comes in before the failure is chance."""
    told = 0
    for _ in range(20):
        with kennel.connect() as run, kennel.connect() as c:
            run.send("Run", {"command": ["/no/such/program"], "name": "bad"})
            c.send("Stats", {"containers": ["bad"], "intervalUsec": 100000}, more=True)
            with pytest.raises(VarlinkError):
                run.receive("Run")
            try:
                replies = [c.receive("Stats")]
                while replies[-1][1]:
                    assert len(replies) < 200, "the call does not end"
                    replies.append(c.receive("Stats"))
                assert all(r[0]["samples"] == [] for r in replies)
                told += 1
            except VarlinkError as e:
                assert e.short == "NoSuchContainer"
        wait_for(lambda: kennel.containers() == [], "the failed one to go")
    assert told > 0


def test_of_one_that_has_exited(kennel):
    kennel.kennel("run", "--name", "over", "--", "true").ok()
    for more in (False, True):
        with kennel.connect() as c, pytest.raises(VarlinkError) as e:
            c.send("Stats", {"containers": ["over"]}, more=more)
            c.receive("Stats")
        assert e.value.short == "NotRunning"
