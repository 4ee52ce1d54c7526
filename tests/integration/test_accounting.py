# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a container uses is counted exactly: each figure against one that does not come from Kennel. The network's are in
test_network.py."""

import json
import os
import pathlib
import signal
import time

import pytest
from kenneld import PATIENCE, SANITIZED, SLOWNESS, Kenneld, cgroup_directories, controllers, wait_for
from measure import (
    LOAD,
    MIB,
    Subscription,
    check_sample,
    events_since,
    has_control,
    inside,
    needs_io,
    now_usec,
    sample_of,
    smaps_of,
    tasks_of,
    ticks_of,
    wait_line,
)
from varlink import VarlinkError


def close_to(value, expected, share):
    assert abs(value - expected) <= expected * share, f"{value} is not {expected} within {share:.0%}"


# exactness ------------------------------------------------------------------------------------------------------------


def test_cpu(kennel, load):
    container = kennel.start_container(*load, command=(LOAD, "cpu", "2000000"))
    _, user, system = wait_line(kennel, container, "burnt").split()
    burnt = int(user) + int(system)
    cpu = sample_of(kennel, container)["cpu"]
    by_proc = [int(seconds * 1e6) for seconds in ticks_of(kennel.inspect(container)["container"]["pid"])]
    assert burnt >= 2000000
    close_to(cpu["usageUsec"], burnt, 0.03)
    close_to(sum(by_proc), burnt, 0.03)
    # how it divides is told by samples at ticks: the kernel's own two accounts of it differ by a few
    assert abs(cpu["userUsec"] - int(user)) <= 0.05 * burnt and abs(cpu["systemUsec"] - int(system)) <= 0.05 * burnt
    assert abs(cpu["userUsec"] + cpu["systemUsec"] - cpu["usageUsec"]) <= 0.03 * burnt


def control_with(container, word):
    """The container's cpu.stat that has the word: a hybrid host has two of them."""
    texts = [p.read_text() for d in cgroup_directories(container) if (p := pathlib.Path(d, "cpu.stat")).exists()]
    return next(t for t in texts if word in t)


@pytest.mark.needs("cpu")
def test_cpu_throttled(kennel, load):
    container = kennel.start_container("--cpus", "0.2", *load, command=(LOAD, "cpu", "200000"))
    wait_line(kennel, container, "burnt")
    cpu = sample_of(kennel, container)["cpu"]
    # 0.2 s of CPU time, 20 ms in each period of 100 ms: about ten, less where others leave it none
    assert 3 <= cpu["throttledPeriods"] <= cpu["periods"] <= 30, cpu
    kernel = dict(line.split() for line in control_with(container, "nr_throttled").splitlines())
    assert int(kernel["nr_throttled"]) == cpu["throttledPeriods"] > 0
    throttled = int(kernel["throttled_usec"]) if "throttled_usec" in kernel else int(kernel["throttled_time"]) // 1000
    assert throttled == cpu["throttledUsec"] > 0
    free = kennel.start_container(*load, command=(LOAD, "cpu", "1000"))
    wait_line(kennel, free, "burnt")
    assert sample_of(kennel, free)["cpu"]["throttledUsec"] == 0


@pytest.mark.needs("memory")
def test_memory_anon(kennel, load):
    idle = kennel.start_container(*load)
    container = kennel.start_container("-m", "400M", *load, command=(LOAD, "anon", "100"))
    wait_line(kennel, container, "ready")
    memory = sample_of(kennel, container)["memory"]
    by_proc = smaps_of(kennel.inspect(container)["container"]["pid"], "Anonymous")
    assert by_proc >= 100 * MIB
    close_to(memory["anon"], by_proc, 0.02)
    assert memory["anon"] <= memory["current"] <= memory["peak"] < 110 * MIB
    assert memory["workingSet"] == memory["current"] - memory["inactiveFile"]
    assert memory["limit"] == 400 * MIB
    # version 1 does not count how often nothing could be reclaimed
    assert memory["shmem"] < MIB and memory["oomKill"] == 0 and not memory.get("oom")
    other = sample_of(kennel, idle)["memory"]
    assert other["anon"] < 4 * MIB, "the neighbour's is not counted here"
    assert other["limit"] is None


@pytest.mark.needs("memory")
def test_memory_shared_and_file(kennel, load):
    container = kennel.start_container("--tmpfs", "/files:size=64M", *load, command=(LOAD, "shmem", "50"))
    wait_line(kennel, container, "ready")
    memory = sample_of(kennel, container)["memory"]
    close_to(memory["shmem"], smaps_of(kennel.inspect(container)["container"]["pid"], "Pss_Shmem"), 0.02)
    assert memory["shmem"] >= 50 * MIB and memory["file"] >= memory["shmem"] and memory["anon"] < 4 * MIB
    # a file in memory is the container's memory too
    words = inside(kennel, container, "fill", "/files/x", 20 * MIB)
    assert words[3] == "ok"
    after = sample_of(kennel, container)["memory"]
    assert 20 * MIB <= after["shmem"] - memory["shmem"] < 21 * MIB


@pytest.mark.needs("memory")
def test_memory_that_the_kernel_can_drop(kennel, load, disk):
    container = kennel.start_container(*load, "-v", f"{disk.directory}:/disk")
    before = sample_of(kennel, container)["memory"]
    assert inside(kennel, container, "fill", "/disk/cached", 30 * MIB)[3] == "ok"
    after = sample_of(kennel, container)["memory"]
    assert after["file"] - before["file"] >= 29 * MIB
    assert after["inactiveFile"] - before["inactiveFile"] >= 29 * MIB
    assert after["workingSet"] - before["workingSet"] < 8 * MIB < 29 * MIB <= after["current"] - before["current"]


def io_of(sample, device):
    found = [d for d in sample["io"]["devices"] if d["device"] == device]
    return found[0] if found else {"readBytes": 0, "writeBytes": 0, "reads": 0, "writes": 0}


@needs_io
def test_io(kennel, load, disk):
    container = kennel.start_container(*load, "-v", f"{disk.directory}:/disk")
    idle = kennel.start_container()
    before = sample_of(kennel, container)
    read, written = disk.counted()
    inside(kennel, container, "write", "/disk/direct", 64 * MIB, MIB)
    inside(kennel, container, "read", "/disk/direct", 32 * MIB, MIB)
    read, written = disk.counted()[0] - read, disk.counted()[1] - written
    after = sample_of(kennel, container)
    a, b = io_of(before, disk.device), io_of(after, disk.device)
    assert written >= 64 * MIB and read >= 32 * MIB
    close_to(b["writeBytes"] - a["writeBytes"], 64 * MIB, 0.01)
    close_to(b["readBytes"] - a["readBytes"], 32 * MIB, 0.01)
    close_to(b["writeBytes"] - a["writeBytes"], written, 0.02)
    close_to(b["readBytes"] - a["readBytes"], read, 0.02)
    assert 64 <= b["writes"] - a["writes"] <= 200 and 32 <= b["reads"] - a["reads"] <= 200
    for key in ("readBytes", "writeBytes", "reads", "writes"):
        assert after["io"][key] == sum(d[key] for d in after["io"]["devices"]), key
    assert io_of(sample_of(kennel, idle), disk.device)["writeBytes"] == 0


def test_storage_with_a_limit(kennel, load):
    container = kennel.start_container("--disk", "100M", *load)
    assert kennel.inspect(container)["storage"] in ("projectQuota", "fileSystem")
    check_storage(kennel, container)
    storage = sample_of(kennel, container)["storage"]
    close_to(storage["limit"], 100 * MIB, 0.02)


def test_storage_by_default(kennel, load):
    container = kennel.start_container(*load)
    kind = kennel.inspect(container)["storage"]
    assert kind == kennel.call("Info")["storage"] or kind == "directory"
    if kind == "directory":
        sample = sample_of(kennel, container)
        assert sample["storage"].get("bytes") is None and "storage" in {u["counter"].split(".")[0] for u in sample["unavailable"]}
    else:
        check_storage(kennel, container)


def check_storage(kennel, container):
    before = sample_of(kennel, container)["storage"]
    name, length, blocks, said = inside(kennel, container, "fill", "/var/thirty", 30 * MIB)
    assert (name, int(length), said) == ("filled", 30 * MIB, "ok")
    inside(kennel, container, "files", "/var", 5)
    after = sample_of(kennel, container)["storage"]
    close_to(after["bytes"] - before["bytes"], int(blocks), 0.02)
    assert 30 * MIB <= after["bytes"] - before["bytes"] <= 31 * MIB
    # the directory itself was copied up, if it was not there
    assert 6 <= after["inodes"] - before["inodes"] <= 8
    kennel.kennel("exec", container, "rm", "/var/thirty").ok()
    freed = wait_for(lambda: b if (b := sample_of(kennel, container)["storage"]["bytes"]) < 2 * MIB + before["bytes"] else None, "room")
    assert freed >= 0


@pytest.mark.needs("pids")
def test_pids(kennel, load):
    container = kennel.start_container("--pids-limit", "20", "--init", *load, command=(LOAD, "forks", "30"))
    _, made, refused = wait_line(kennel, container, "forks").split()
    wait_line(kennel, container, "ready")
    pids = sample_of(kennel, container)["pids"]
    assert pids["current"] == tasks_of(container) == 20 == pids["limit"]
    assert int(made) + int(refused) == 30 and int(refused) > 0
    assert pids["refused"] == int(refused)
    first = kennel.call("Processes", container=container)["processes"]
    parent = next(p for p in first if p["command"][1:2] == ["forks"] and p["parentPid"] == 1)
    kennel.kennel("kill", "-s", "USR1", "--pid", parent["pid"], container).ok()
    wait_line(kennel, container, "alone")
    pids = sample_of(kennel, container)["pids"]
    assert pids["current"] == tasks_of(container) == 2
    assert pids.get("peak") == (20 if has_control(container, "pids.peak") else None)


def test_pressure(kennel, load):
    if not pathlib.Path("/proc/pressure/cpu").exists():
        container = kennel.start_container()
        assert "pressure" in {u["counter"] for u in sample_of(kennel, container)["unavailable"]}
        return
    flags = ("--cpuset-cpus", "0") if "cpuset" in controllers() else ()
    # three that want more CPUs than there are: somebody waits nearly all the time
    command = ("/bin/sh", "-c", f"{LOAD} spin & {LOAD} spin & {LOAD} spin & wait")
    container = kennel.start_container(*load, *flags, command=command)
    before = sample_of(kennel, container)
    time.sleep(0.5)  # the window that is measured
    after = sample_of(kennel, container)
    waited = after["pressure"]["cpu"]["someUsec"] - before["pressure"]["cpu"]["someUsec"]
    elapsed = after["monotonicUsec"] - before["monotonicUsec"]
    assert 0.3 * elapsed < waited <= 1.2 * elapsed, (waited, elapsed)


# what cannot be had ---------------------------------------------------------------------------------------------------


def test_network_of_the_host_is_not_told_apart(kennel):
    container = kennel.start_container("--network", "host")
    sample = sample_of(kennel, container)
    assert all(sample["network"].get(key) is None for key in ("inBytes", "outBytes", "inPackets"))
    assert sample["network"]["interfaces"] == []
    assert "network" in {u["counter"] for u in sample["unavailable"]}


def test_network_none_is_nothing(kennel):
    # its own loopback does not count
    program = "import socket; a = socket.socket(type=socket.SOCK_DGRAM); a.bind(('127.0.0.1', 9)); a.sendto(b'x' * 999, ('127.0.0.1', 9)); print(len(a.recv(2000)))"
    container = kennel.start_container("--cap-add", "NET_BIND_SERVICE")
    assert kennel.kennel("exec", container, "python3", "-c", program).ok() == "999\n"
    network = sample_of(kennel, container)["network"]
    assert all(network[key] == 0 for key in network if key != "interfaces") and network["interfaces"] == []


class WithoutControllers(Kenneld):
    """On a host that looks like cgroup2 whose controllers are all bound elsewhere."""

    def command(self):
        imitate = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
        return ["unshare", "-m", "--propagation", "private", "bash", "-c", imitate, "bash", *super().command()]


def test_without_controllers(scratch):
    if pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("this host has cgroup2 alone: see /sys/fs/cgroup/cgroup.controllers")
    kennel = WithoutControllers().start()
    try:
        # the daemon is in a mount namespace of its own, where a volume of this one cannot be had
        program = "import os, time\nwhile time.process_time() < 0.3: pass\nprint('burnt', os.times().user, os.times().system, flush=True)\ntime.sleep(1000)"
        container = kennel.start_container(command=("python3", "-c", program))
        _, user, system = wait_line(kennel, container, "burnt").split()
        sample = sample_of(kennel, container)
        missing = {u["counter"] for u in sample["unavailable"]}
        assert {"memory", "pids", "io"} <= missing, missing
        # what cgroup2 counts without any controller is counted
        close_to(sample["cpu"]["usageUsec"], (float(user) + float(system)) * 1e6, 0.15)
        for flags, controller in ((("-m", "64M"), "memory"), (("--pids-limit", "9"), "pids"), (("--cpus", "1"), "cpu")):
            result = kennel.run(*flags, "--", "true")
            assert result.code == 125 and controller in result.stderr, result
        with pytest.raises(VarlinkError) as e:
            kennel.call("Run", command=["true"], limits={"memory": 64 * MIB})
        assert e.value.short == "LimitUnavailable" and e.value.parameters["controller"] == "memory"
        assert len(e.value.parameters["reason"]) > 8
        assert "spin" not in kennel.kennel("stats", "--no-stream", container).ok()
    finally:
        kennel.stop()


# the end --------------------------------------------------------------------------------------------------------------


def test_final_sample(kennel, load):
    since = now_usec()
    script = f"{LOAD} cpu 300000 & read x; kill %1; exit 7"
    client = kennel.popen("run", "--name", "f", "-i", *load, "--", "/bin/bash", "-c", script, stdin=-1)
    wait_for(lambda: any(e["kind"] == "started" for e in events_since(kennel, since)), "the start")
    container = kennel.inspect("f")["container"]["id"]
    assert kennel.inspect("f")["sample"]["final"] is False
    with Subscription(kennel, ["f"]) as own, Subscription(kennel) as everything:
        wait_for(lambda: sample_of(kennel, container)["cpu"]["usageUsec"] > 300000, "0.3 s of CPU time")
        own.wait_samples(container, 2)
        everything.wait_samples(container, 2)
        client.communicate(b"\n", timeout=PATIENCE)
        assert client.returncode == 7
        assert own.wait_end() == "end", "a stream of containers that were named ends with the last of them"
        last = everything.wait(lambda _: [s for s in everything.samples(container) if s["final"]], "the final sample")
        assert len(last) == 1 and own.samples(container)[-1] == last[0]
        assert [s["final"] for s in own.samples(container)].count(True) == 1
        assert all(check_sample(s) for s in own.samples(container))
        reply = next(r for r in own.replies if any(s["final"] for s in r["samples"]))
        assert len(reply["samples"]) == 1, "in a reply of its own"
    final = last[0]
    usage = [s["cpu"]["usageUsec"] for s in own.samples(container)]
    assert usage == sorted(usage) and usage[-1] >= 300000
    if "pids" in controllers():
        assert final["pids"]["current"] == 0 and final["pids"].get("peak") in (None, *range(2, 9))
    assert kennel.inspect("f")["sample"] == final, "Inspect keeps the totals"
    said = json.loads(kennel.kennel("inspect", "f").ok())
    assert (said[0] if isinstance(said, list) else said)["sample"] == final
    with pytest.raises(VarlinkError) as e:
        kennel.call("Stats", containers=["f"])
    assert e.value.short == "NotRunning"
    kennel.kennel("rm", "f").ok()
    with pytest.raises(VarlinkError) as e:
        kennel.call("Stats", containers=["f"])
    assert e.value.short == "NoSuchContainer"


def test_totals_of_one_that_ran_for_a_moment(kennel, load):
    """Nobody subscribed, and it was over before anybody could have looked."""
    kennel.kennel("run", "--name", "quick", *load, "--", LOAD, "files", "/var", "20").ok()
    sample = wait_for(lambda: kennel.inspect("quick").get("sample"), "the totals")
    check_sample(sample)
    assert sample["final"] is True and sample["cpu"]["usageUsec"] > 0


def test_totals_survive_the_daemon(daemon, load):
    burner = (*load, "--", "/bin/bash", "-c", f"timeout 0.3 {LOAD} spin; exit 3")
    daemon.kennel("run", "--name", "before", *burner)
    daemon.start_container("--name", "after", *load, command=(LOAD, "cpu", "300000"))
    wait_line(daemon, "after", "burnt")
    daemon.start_container("--name", "meanwhile", *load, command=(LOAD, "cpu", "300000"))
    wait_line(daemon, "meanwhile", "burnt")
    final = wait_for(lambda: daemon.inspect("before").get("sample"), "the totals")
    assert final["final"] is True
    running = sample_of(daemon, "after")
    pid = daemon.inspect("meanwhile")["container"]["pid"]
    daemon.terminate(signal.SIGKILL, expected=-9)
    os.kill(pid, signal.SIGKILL)  # this one ends while no daemon looks
    daemon.start()
    assert daemon.inspect("before")["sample"] == final
    again = sample_of(daemon, "after")
    assert again["final"] is False and again["cpu"]["usageUsec"] >= running["cpu"]["usageUsec"]
    assert again["timestampUsec"] > running["timestampUsec"]
    daemon.wait_exited("meanwhile")
    sample = wait_for(lambda: daemon.inspect("meanwhile").get("sample"), "the totals of one that ended without a daemon")
    assert sample["final"] is True and sample["cpu"]["usageUsec"] >= 300000
    daemon.kennel("kill", "after").ok()
    daemon.wait_exited("after")
    sample = wait_for(lambda: s if (s := daemon.inspect("after").get("sample")) and s["final"] else None, "the totals")
    assert sample["cpu"]["usageUsec"] >= again["cpu"]["usageUsec"]
    daemon.terminate(signal.SIGTERM)
    daemon.start()
    assert daemon.inspect("after")["sample"] == sample


# several who look -----------------------------------------------------------------------------------------------------


def test_subscribers_share_one_reading(kennel):
    one, two = kennel.start_container(), kennel.start_container()
    with Subscription(kennel, interval=200000) as a, Subscription(kennel, [one, two], interval=200000) as b:
        with Subscription(kennel, [two], interval=100000) as c:
            a.wait_samples(two, 6)
            b.wait_samples(two, 6)
            c.wait_samples(two, 11)
            # the first is read at once, for whoever comes; the others are on the grid
            by_time = [{s["monotonicUsec"]: s for s in x.samples(two)[1:]} for x in (a, b, c)]
    common = sorted(set(by_time[0]) & set(by_time[1]) & set(by_time[2]))
    assert len(common) >= 4, [sorted(t) for t in by_time]
    assert all(by_time[0][t] == by_time[1][t] == by_time[2][t] for t in common)
    first, last = common[0], common[-1]
    grid = [t for t in by_time[0] if first <= t <= last]
    assert sorted(grid) == common, "every tick of the one is a tick of the other"


def ticks(subscription, container):
    return [s["monotonicUsec"] for s in subscription.samples(container) if not s["final"]]


def test_intervals_are_kept(kennel):
    container = kennel.start_container()
    short = int(100000 * SLOWNESS)
    with Subscription(kennel, interval=short) as fast, Subscription(kennel, interval=3 * short) as slow:
        fast.wait_samples(container, 21)
        slow.wait_samples(container, 6)
        for subscription, interval in ((fast, short), (slow, 3 * short)):
            at = ticks(subscription, container)[1:]
            steps = [b - a for a, b in zip(at, at[1:])]
            spread = interval * (0.5 if SANITIZED else 0.25)
            late = [s for s in steps if abs(s - interval) > spread]
            assert len(late) <= 1, steps
            assert abs((at[-1] - at[0]) / len(steps) - interval) < interval * 0.05, "they do not drift"
            assert all(s > 0 for s in steps)


def test_no_daemon_work_without_subscribers(kennel):
    for _ in range(5):
        kennel.start_container()
    before = pathlib.Path(f"/proc/{kennel.process.pid}/schedstat").read_text().split()
    time.sleep(1)  # the window that is measured
    after = pathlib.Path(f"/proc/{kennel.process.pid}/schedstat").read_text().split()
    assert int(after[0]) - int(before[0]) < 20_000_000 * SLOWNESS, "ns of CPU time in a second in which nobody asked for anything"


def test_containers_join_and_leave(kennel):
    with Subscription(kennel) as everything:
        everything.wait(lambda r: len(r) >= 2, "ticks without any container")
        assert all(r["samples"] == [] and r["complete"] for r in everything.replies)
        one = kennel.start_container("--name", "one")
        everything.wait_samples(one, 2)
        two = kennel.start_container("--name", "two")
        begin = time.monotonic()
        everything.wait_samples(two, 1)
        assert time.monotonic() - begin < (2 if SANITIZED else 0.5) * SLOWNESS
        with Subscription(kennel, ["one"]) as named:
            named.wait_samples(one, 2)
            kennel.kennel("rm", "-f", "two").ok()
            everything.wait(lambda _: any(s["final"] for s in everything.samples(two)), "the final sample of the one")
            count = len(everything.samples(two))
            everything.wait_samples(one, len(everything.samples(one)) + 3)
            assert len(everything.samples(two)) == count, "nothing after the final one"
            assert named.samples(two) == [] and named.ended is None
        names = {s["name"] for r in everything.replies for s in r["samples"]}
        assert names == {"one", "two"}


def test_interval_below_the_least(kennel):
    for interval in (99999, 99000, 0):
        with pytest.raises(VarlinkError) as e:
            kennel.call("Stats", intervalUsec=interval)
        assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == "intervalUsec"
        assert "100" in e.value.parameters["reason"] and str(interval) in e.value.parameters["reason"]
    result = kennel.kennel("stats", "--interval", "0.099", timeout=PATIENCE)
    assert result.code == 125 and "0.099" in result.stderr and "0.1" in result.stderr


def test_stats_of_somebody_unknown(kennel):
    one = kennel.start_container()
    for containers in (["nothing-here"], [one, "nothing-here"]):
        with pytest.raises(VarlinkError) as e:
            kennel.call("Stats", containers=containers)
        assert e.value.short == "NoSuchContainer"


def shape(value):
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    return [shape(v) for v in value] if isinstance(value, list) else type(value).__name__


def test_json_of_the_client_is_the_protocols(kennel, load):
    container = kennel.start_container("--name", "still", *load, command=(LOAD, "anon", "5"))
    wait_line(kennel, container, "ready")
    kennel.kennel("pause", "still").ok()
    raw = sample_of(kennel, container)
    lines = kennel.kennel("stats", "--no-stream", "--format", "json", "still").json_lines()
    said = lines[-1]
    check_sample(said)
    assert shape(said) == shape(raw)
    for sample in (raw, said):
        del sample["timestampUsec"], sample["monotonicUsec"]
    # what a frozen container does not change by itself
    assert {g: said[g] for g in ("container", "name", "final", "pids", "io", "network")} == {
        g: raw[g] for g in ("container", "name", "final", "pids", "io", "network")
    }
    assert said["memory"]["anon"] == raw["memory"]["anon"] and said["cpu"]["userUsec"] == raw["cpu"]["userUsec"]
    kennel.kennel("unpause", "still").ok()


def test_lines_where_there_is_no_terminal(kennel):
    kennel.start_container("--name", "a")
    out = kennel.kennel("stats", "--no-stream").ok()
    assert "\033" not in out
    lines = out.splitlines()
    assert len(lines) == 2 and "CPU" in lines[0].upper() and "a" in lines[1].split()
