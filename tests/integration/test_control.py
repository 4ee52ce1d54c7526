# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits hold, measured from the host's side: CPU, memory, processes, disks. The network's are in test_network.py, the
writable layer's in test_storage.py."""

import os
import pathlib
import time

import pytest
from kenneld import SANITIZED, SLOWNESS, controllers, host_pids_of, wait_for
from measure import (
    LOAD,
    MIB,
    control,
    device_control,
    events_since,
    hold_to,
    inside,
    needs_io,
    now_usec,
    number,
    quota,
    rates_of,
    sample_of,
    wait_event,
    wait_line,
    weight,
    with_swap,
)
from varlink import VarlinkError

CPUS = sorted(os.sched_getaffinity(0))


def pid_of(kennel, container):
    return kennel.inspect(container)["container"]["pid"]


# CPU ------------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("cpu")
@pytest.mark.parametrize("cpus,programs", [("0.5", 1), ("0.25", 3)])
def test_cpus(kennel, load, cpus, programs):
    """Also where several processes want it."""
    script = f"for i in {' '.join('x' * programs)}; do {LOAD} spin & done; wait"
    container = kennel.start_container("--cpus", cpus, *load, command=("/bin/sh", "-c", script))
    pids = wait_for(lambda: p if len(p := spinning(container)) == programs else None, "the programs")
    assert quota(container) == float(cpus) * 1000000
    hold_to("CPUs", float(cpus), 0.1, lambda: sum(rates_of(pids, 2)))


def spinning(container):
    found = []
    for pid in host_pids_of(container):
        try:
            if b"spin" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            pass
    return found


@pytest.mark.needs("cpu", "cpuset")
def test_cpu_weight(kennel, load):
    """Two that compete for one CPU share it as 1 to 3."""
    flags = ("--cpuset-cpus", CPUS[-1], *load)
    light = kennel.start_container("--cpu-weight", "100", *flags, command=(LOAD, "spin"))
    heavy = kennel.start_container("--cpu-weight", "300", *flags, command=(LOAD, "spin"))
    for container in (light, heavy):
        wait_line(kennel, container, "ready")
    assert abs(weight(light) - 100) <= 1 and abs(weight(heavy) - 300) <= 3
    for _ in range(3):
        small, large = rates_of([pid_of(kennel, light), pid_of(kennel, heavy)], 3)
        if 3 * 0.85 <= large / small <= 3 * 1.15:
            return
    raise AssertionError(f"1 to {large / small}, not 1 to 3 ({small} and {large} CPUs)")


@pytest.mark.needs("cpuset")
def test_cpuset(kennel, load):
    for cpus in (f"{CPUS[-1]}", f"{CPUS[0]}-{CPUS[0]}"):
        container = kennel.start_container("--cpuset-cpus", cpus, *load, command=(LOAD, "spin"))
        expected = {int(cpus.split("-")[0])}
        assert os.sched_getaffinity(pid_of(kennel, container)) == expected
        assert kennel.kennel("exec", container, "nproc").ok() == "1\n"
        assert control(container, "cpuset.cpus") == str(min(expected))
        assert kennel.inspect(container)["limits"]["cpusetCpus"] == str(min(expected))
    script = f"{LOAD} spin & {LOAD} spin & wait"
    container = kennel.start_container("--cpuset-cpus", CPUS[-1], *load, command=("/bin/sh", "-c", script))
    pids = wait_for(lambda: p if len(p := spinning(container)) == 2 else None, "the programs")
    assert sum(rates_of(pids, 1)) <= 1.05
    # not even by asking for it
    program = f"import os; os.sched_setaffinity(0, {CPUS}); print(os.sched_getaffinity(0))"
    assert kennel.kennel("exec", container, "python3", "-c", program).stdout.strip() in ("", f"{{{CPUS[-1]}}}")


# memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("memory")
def test_memory(kennel, load):
    """Beyond the limit the payload dies, an event says so, and its neighbour lives and answers."""
    since = now_usec()
    neighbour = kennel.start_container("-m", "100M", *load, command=(LOAD, "anon", "60"))
    wait_line(kennel, neighbour, "ready")
    result = kennel.kennel("run", "--name", "eater", "-m", "64M", *load, "--", LOAD, "anon", "200")
    assert result.code == 137 and "ready" not in result.stdout
    exit = kennel.inspect("eater")["container"]["exit"]
    assert (exit["code"], exit["signal"], exit["oomKilled"]) == (137, "KILL", True)
    event = wait_event(kennel, since, "eater", "oom")
    assert (event["name"], event["owner"]) == ("eater", 0) and event["message"]
    kinds = [e["kind"] for e in events_since(kennel, since) if e["name"] == "eater"]
    assert kinds.index("started") < kinds.index("oom") <= kinds.index("exited")
    final = wait_for(lambda: kennel.inspect("eater").get("sample"), "the totals")["memory"]
    assert final["oomKill"] >= 1 and final["limit"] == 64 * MIB and 60 * MIB < final["peak"] <= 64 * MIB
    assert kennel.inspect(neighbour)["container"]["state"] == "running"
    assert kennel.kennel("exec", neighbour, "echo", "alive").ok() == "alive\n"
    assert "oom" not in [e["kind"] for e in events_since(kennel, since) if e["container"] == neighbour]
    # below the limit all is well
    assert sample_of(kennel, neighbour)["memory"]["oomKill"] == 0


@pytest.mark.needs("memory")
def test_oom_of_a_child(kennel, load):
    """The container lives on; the event comes at once, not at its end."""
    since = now_usec()
    script = f"{LOAD} anon 200; echo child $?; exec sleep 1000"
    container = kennel.start_container("-m", "64M", *load, command=("/bin/sh", "-c", script))
    assert wait_line(kennel, container, "child").split() == ["child", "137"]
    said = time.time()
    event = wait_event(kennel, since, container, "oom")
    assert event["timestampUsec"] / 1e6 - said < 1, "at once"
    assert kennel.inspect(container)["container"]["state"] == "running"
    memory = sample_of(kennel, container)["memory"]
    # version 1 of newer kernels does not count how often a container without swap came to its limit
    assert memory["oomKill"] == 1 and memory.get("max") in (None, *range(1, 10**6))
    kennel.kennel("kill", container).ok()
    kennel.wait_exited(container)
    ooms = [e for e in events_since(kennel, since, "oom") if e["container"] == container]
    assert len(ooms) == 1, "one kill is one event"


@pytest.mark.needs("memory")
def test_memory_swap(kennel):
    """Without the flag there is no swap at all."""
    plain = kennel.start_container("-m", "64M")
    if with_swap(plain) == 0:  # this kernel does not account it
        result = kennel.run("-m", "64M", "--memory-swap", "96M", "--", "true")
        assert result.code == 125 and "swap" in result.stderr, result
        return
    assert with_swap(plain) == 64 * MIB
    assert with_swap(kennel.start_container("-m", "64M", "--memory-swap", "96M")) == 96 * MIB
    assert with_swap(kennel.start_container("-m", "64M", "--memory-swap", "none")) is None


def test_memory_high(kennel, load):
    if "memory" in controllers() and pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
        since = now_usec()
        container = kennel.start_container("--memory-high", "32M", *load, command=(LOAD, "anon", "40"))
        assert number(control(container, "memory.high")) == 32 * MIB
        assert wait_event(kennel, since, container, "limitReached", "memoryHigh")["message"]
        assert sample_of(kennel, container)["memory"]["high"] > 0
    else:  # version 1 has nothing that does it
        result = kennel.run("--memory-high", "32M", "--", "true")
        assert result.code == 125 and "memory" in result.stderr.lower(), result
        with pytest.raises(VarlinkError) as e:
            kennel.call("Run", command=["true"], limits={"memoryHigh": 32 * MIB})
        assert e.value.short == "LimitUnavailable" and len(e.value.parameters["reason"]) > 8


# processes ------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("pids")
def test_fork_bomb(kennel, load):
    """The host stays responsive, an event tells, and it is gone in less than a second."""
    since = now_usec()
    bystander = kennel.start_container(*load)
    bomb = kennel.start_container("--name", "bomb", "--pids-limit", "100", *load, command=(LOAD, "bomb"))
    event = wait_event(kennel, since, bomb, "limitReached", "pids")
    assert (event["name"], event["owner"]) == ("bomb", 0) and event["message"]
    wait_for(lambda: len(host_pids_of(bomb)) > 90, "a hundred processes")
    for command in (("ps",), ("exec", bystander, "true"), ("inspect", "bomb"), ("stats", "--no-stream", "bomb")):
        begin = time.monotonic()
        kennel.kennel(*command).ok()
        took = time.monotonic() - begin
        # `stats` waits for two readings that are a second apart where the table needs their difference
        assert took < (2.5 if command[0] == "stats" else 1) * SLOWNESS * (3 if SANITIZED else 1), f"kennel {command[0]} took {took:.2f} s"
    sample = sample_of(kennel, bomb)
    assert sample["pids"]["current"] <= 100 and sample["pids"]["refused"] > 0
    begin = time.monotonic()
    kennel.kennel("kill", "bomb").ok()
    kennel.wait_exited("bomb")
    took = time.monotonic() - begin
    assert took < SLOWNESS, f"kennel kill took {took:.2f} s"
    assert host_pids_of(bomb) == []
    reached = [e for e in events_since(kennel, since, "limitReached") if e["container"] == bomb]
    assert 1 <= len(reached) <= 2, "at most once in ten seconds, and the rest when it ended"
    assert kennel.kennel("exec", bystander, "echo", "alive").ok() == "alive\n"


@pytest.mark.needs("pids")
def test_top_of_a_fork_bomb(kennel, load):
    """Its processes are listed, although reading a command line waits for a process that is busy being copied."""
    bomb = kennel.start_container("--pids-limit", "100", *load, command=(LOAD, "bomb"))
    wait_for(lambda: len(host_pids_of(bomb)) > 90, "a hundred processes")
    begin = time.monotonic()
    assert len(kennel.kennel("top", bomb).ok().splitlines()) > 50
    took = time.monotonic() - begin
    assert took < 5 * SLOWNESS, f"kennel top took {took:.2f} s"


# disks ----------------------------------------------------------------------------------------------------------------


def seconds(words):
    assert words[0] == "usec", words
    return int(words[1]) / 1e6


@needs_io
@pytest.mark.parametrize("way", ["read", "write"])
def test_device_bps(kennel, load, disk, way):
    rate, amount = 10 * MIB, 20 * MIB
    container = kennel.start_container(f"--device-{way}-bps", f"{disk.path}:10M", *load, "-v", f"{disk.directory}:/disk")
    free = kennel.start_container(*load, "-v", f"{disk.directory}:/disk")
    assert device_control(container, disk.device, f"{way}Bps") == rate
    assert seconds(inside(kennel, free, "write", "/disk/rate", amount, MIB)) < 1, "this disk alone is too slow to tell"
    before = disk.counted()
    took = seconds(inside(kennel, container, way, "/disk/rate", amount, MIB))
    moved = [b - a for a, b in zip(before, disk.counted())][way == "write"]
    assert moved >= amount
    assert abs(amount / took - rate) <= 0.15 * rate, f"{amount / took / MIB:.1f} MiB/s"
    # the other direction, and its neighbour, are free
    other = "write" if way == "read" else "read"
    assert seconds(inside(kennel, container, other, "/disk/rate", amount, MIB)) < 1
    assert seconds(inside(kennel, free, way, "/disk/rate", amount, MIB)) < 1


@needs_io
@pytest.mark.parametrize("way", ["read", "write"])
def test_device_iops(kennel, load, disk, way):
    container = kennel.start_container(f"--device-{way}-iops", f"{disk.device}:200", *load, "-v", f"{disk.directory}:/disk")
    assert device_control(container, disk.device, f"{way}Iops") == 200
    free = kennel.start_container(*load, "-v", f"{disk.directory}:/disk")
    inside(kennel, free, "write", "/disk/operations", 400 * 4096, 400 * 4096)
    took = seconds(inside(kennel, container, way, "/disk/operations", 400 * 4096, 4096))
    assert abs(400 / took - 200) <= 30, f"{400 / took:.0f} operations a second"


@needs_io
def test_device_limits_are_in_inspect(kennel, disk):
    flags = ("--device-read-bps", f"{disk.path}:1M", "--device-write-iops", f"{disk.path}:50")
    container = kennel.start_container(*flags)
    devices = kennel.inspect(container)["limits"]["ioDevices"]
    assert [{k: v for k, v in d.items() if v is not None} for d in devices] == [
        {"device": disk.device, "readBps": MIB, "writeIops": 50}
    ]
    assert device_control(container, disk.device, "readBps") == MIB
    assert device_control(container, disk.device, "writeIops") == 50
    assert device_control(container, disk.device, "writeBps") is None


def test_io_weight(kennel):
    """Only where a disk's scheduler heeds it; elsewhere it is refused, with the reason."""
    schedulers = [p.read_text() for p in pathlib.Path("/sys/block").glob("*/queue/scheduler")]
    cost = pathlib.Path("/sys/fs/cgroup/io.cost.qos")
    heeded = any("[bfq]" in s for s in schedulers) or cost.exists() and "enable=1" in cost.read_text()
    result = kennel.kennel("run", "-d", "--name", "weighed", "--io-weight", "300", "--", "sleep", "infinity")
    if heeded and {"blkio", "io"} & controllers():
        container = result.ok().strip()
        kennel.ids.add(container)
        assert control(container, "io.bfq.weight", "io.weight", "blkio.bfq.weight").split()[-1] == "300"
        return
    assert result.code == 125 and "weight" in result.stderr.lower(), result
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", command=["true"], limits={"ioWeight": 300})
    assert e.value.short == "LimitUnavailable" and len(e.value.parameters["reason"]) > 8
