# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits of a container that runs are changed: each one is read back from the cgroup by the test itself or measured, what
is refused leaves all as it was, and the new limits outlive the daemon. The network's rates are in test_network.py."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading

import pytest
from kenneld import host_pids_of
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


def in_force(kennel, container):
    """The limits that there are."""
    return {k: v for k, v in kennel.inspect(container)["limits"].items() if v not in (None, [])}


def memory(container):
    return number(control(container, "memory.max", "memory.limit_in_bytes"))


def pids(container):
    return number(control(container, "pids.max"))


def cpus(container):
    return control(container, "cpuset.cpus")


# flag, its value, field of Limits, the value there, the same by the cgroup, controller
CGROUP = [
    ("-m", "80M", "memory", 80 * MIB, memory, "memory"),
    ("--cpus", "0.75", "cpuQuotaPerSecUsec", 750000, quota, "cpu"),
    ("--cpu-weight", "350", "cpuWeight", 350, weight, "cpu"),
    ("--cpuset-cpus", f"{CPUS[0]}", "cpusetCpus", f"{CPUS[0]}", cpus, "cpuset"),
    ("--pids-limit", "33", "pids", 33, pids, "pids"),
]


def there(case):
    return pytest.param(*case[:5], id=case[2], marks=pytest.mark.needs(case[5]))


@pytest.mark.parametrize("flag,value,field,expected,read", [there(c) for c in CGROUP])
def test_update(kennel, flag, value, field, expected, read):
    since = now_usec()
    container = kennel.start_container("--name", "u")
    before, kernel_before = in_force(kennel, container), read(container)
    assert kernel_before != expected
    kennel.kennel("update", flag, value, "u").ok()
    assert read(container) == expected, "the kernel's word"
    after = in_force(kennel, container)
    if field == "memory":  # no swap, where nothing is said of it
        assert after.pop("memorySwap", expected) == expected
    assert after == {**before, field: expected}, "that one and no other"
    event = wait_event(kennel, since, container, "updated")
    assert event["name"] == "u" and event["message"]
    assert all(c["passed"] for c in kennel.call("Verify", container="u")["checks"])
    # and away with it: what there was before
    kennel.kennel("update", flag, "none", "u").ok()
    assert field not in in_force(kennel, container)
    # a list of CPUs is, without a limit, all there are, by their names or none
    every = (kernel_before, pathlib.Path("/sys/devices/system/cpu/online").read_text().strip())
    assert read(container) in {"cpuWeight": (100,), "cpusetCpus": every}.get(field, (None,))
    assert len(events_since(kennel, since, "updated")) == 2


@pytest.mark.needs("cpu", "pids", "memory")
def test_several_at_once_and_the_reply(kennel):
    container = kennel.start_container("-m", "64M", "--cpus", "1")
    reply = kennel.call("Update", container=container, limits={"memory": 128 * MIB, "pids": 50, "unlimited": ["cpuQuotaPerSecUsec"]})
    assert {k: v for k, v in reply["limits"].items() if v not in (None, [])} == in_force(kennel, container)
    assert (reply["limits"]["memory"], reply["limits"]["pids"]) == (128 * MIB, 50)
    assert reply["limits"].get("cpuQuotaPerSecUsec") is None
    assert (memory(container), pids(container), quota(container)) == (128 * MIB, 50, None)
    # nothing is changed by nothing
    assert kennel.call("Update", container=container, limits={})["limits"] == reply["limits"]


@pytest.mark.needs("cpu")
def test_cpus_are_measured(kennel, load):
    container = kennel.start_container(*load, command=(LOAD, "spin"))
    wait_line(kennel, container, "ready")
    pid = kennel.inspect(container)["container"]["pid"]
    kennel.kennel("update", "--cpus", "0.3", container).ok()
    hold_to("CPUs", 0.3, 0.15, lambda: rates_of([pid], 1.5)[0])
    kennel.kennel("update", "--cpus", "none", container).ok()
    assert max(rates_of([pid], 1)[0] for _ in range(3)) > 0.35


@pytest.mark.needs("cpuset")
def test_cpuset_moves_what_runs(kennel, load):
    container = kennel.start_container(*load, "--cpuset-cpus", CPUS[0], command=(LOAD, "spin"))
    pid = kennel.inspect(container)["container"]["pid"]
    assert os.sched_getaffinity(pid) == {CPUS[0]}
    kennel.kennel("update", "--cpuset-cpus", CPUS[-1], container).ok()
    assert os.sched_getaffinity(pid) == {CPUS[-1]}
    kennel.kennel("update", "--cpuset-cpus", "none", container).ok()
    assert os.sched_getaffinity(pid) >= set(CPUS)


@pytest.mark.needs("pids")
def test_pids_take_effect(kennel, load):
    container = kennel.start_container(*load)

    def made():
        out = kennel.kennel("exec", container, "/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait")
        return out.code == 0

    assert made()
    kennel.kennel("update", "--pids-limit", "4", container).ok()
    assert not made()
    assert sample_of(kennel, container)["pids"]["limit"] == 4
    kennel.kennel("update", "--pids-limit", "40", container).ok()
    assert made()
    assert sample_of(kennel, container)["pids"]["limit"] == 40


@pytest.mark.needs("memory")
def test_memory_takes_effect(kennel, load):
    container = kennel.start_container("-m", "32M", *load)
    assert kennel.kennel("exec", container, LOAD, "anon", "64").code == 137
    kennel.kennel("update", "-m", "100M", container).ok()
    assert sample_of(kennel, container)["memory"]["limit"] == 100 * MIB
    client = kennel.popen("exec", container, LOAD, "anon", "64")
    assert client.stdout.readline() == b"ready\n"
    # less than it has: refused, and all is as it was
    before = in_force(kennel, container)
    result = kennel.kennel("update", "-m", "16M", container)
    assert result.code != 0 and "memory" in result.stderr, result
    assert in_force(kennel, container) == before and memory(container) == 100 * MIB
    assert client.poll() is None, "nothing is killed for it"
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container=container, limits={"memory": 16 * MIB})
    assert (e.value.short, e.value.parameters["field"]) == ("InvalidSpec", "limits.memory")
    client.kill()
    client.communicate()


@pytest.mark.needs("memory")
def test_memory_and_swap_in_either_order(kennel):
    """The kernel wants one of the two changed first, another one each way."""
    container = kennel.start_container("-m", "64M")
    for value in ("200M", "32M", "100M"):
        kennel.kennel("update", "-m", value, container).ok()
        assert memory(container) == int(value[:-1]) * MIB
        assert with_swap(container) in (memory(container), 0)


@needs_io
def test_device_rates(kennel, load, disk):
    container = kennel.start_container("--device-read-bps", f"{disk.path}:9M", *load, "-v", f"{disk.directory}:/disk")
    kennel.kennel("update", "--device-write-bps", f"{disk.device}:10M", container).ok()
    # what was not named stays
    assert device_control(container, disk.device, "readBps") == 9 * MIB
    assert device_control(container, disk.device, "writeBps") == 10 * MIB
    words = inside(kennel, container, "write", "/disk/updated", 15 * MIB, MIB)
    assert abs(15 * MIB / (int(words[1]) / 1e6) - 10 * MIB) <= 0.15 * 10 * MIB, words
    kennel.kennel("update", "--device-read-iops", f"{disk.path}:77", "--device-write-iops", f"{disk.path}:77", container).ok()
    (device,) = kennel.inspect(container)["limits"]["ioDevices"]
    expected = {"device": disk.device, "readBps": 9 * MIB, "writeBps": 10 * MIB, "readIops": 77, "writeIops": 77}
    assert device == expected
    for key, value in expected.items():
        assert key == "device" or device_control(container, disk.device, key) == value
    kennel.kennel("update", "--device-read-bps", "none", container).ok()
    assert kennel.inspect(container)["limits"].get("ioDevices") in (None, [])
    assert {device_control(container, disk.device, k) for k in expected if k != "device"} == {None}
    words = inside(kennel, container, "write", "/disk/updated", 15 * MIB, MIB)
    assert int(words[1]) / 1e6 < 1


def test_disk(kennel, load):
    """A file system of its own cannot shrink or grow while it is in use, or it can: either it is so, or it is refused."""
    container = kennel.start_container("--disk", "30M", *load)
    before = in_force(kennel, container)
    result = kennel.kennel("update", "--disk", "60M", container)
    if result.code == 0:
        assert in_force(kennel, container)["disk"] == 60 * MIB
        size = int(inside(kennel, container, "fill", "/var/x", 200 * MIB)[1])
        assert abs(size - 60 * MIB) <= 0.02 * 60 * MIB
    else:
        assert "disk" in result.stderr or "storage" in result.stderr
        assert in_force(kennel, container) == before
        size = int(inside(kennel, container, "fill", "/var/x", 200 * MIB)[1])
        assert abs(size - 30 * MIB) <= 0.02 * 30 * MIB
    before = in_force(kennel, container)
    # less than is in use is refused in any case
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container=container, limits={"disk": 10 * MIB})
    assert e.value.short in ("InvalidSpec", "LimitUnavailable"), e.value
    assert in_force(kennel, container) == before


REFUSED = {
    "memory below the least": ({"memory": 4096}, "limits.memory"),
    "no pids": ({"pids": 0}, "limits.pids"),
    "weight above the most": ({"cpuWeight": 10001}, "limits.cpuWeight"),
    "a CPU that is not there": ({"cpusetCpus": "4000"}, "limits.cpusetCpus"),
    "swap below memory": ({"memory": 64 * MIB, "memorySwap": 32 * MIB}, "limits.memorySwap"),
    "a device that is not there": ({"ioDevices": [{"device": "250:250", "readBps": MIB}]}, "limits.ioDevices[0].device"),
    "a rate without a bridge": ({"netRateIn": 1000000}, "limits.netRateIn"),
    "an unknown name": ({"unlimited": ["nonsense"]}, "limits.unlimited[0]"),
    "a value and none": ({"pids": 7, "unlimited": ["pids"]}, "limits.unlimited[0]"),
}


@needs_io
@pytest.mark.needs("memory", "cpu", "cpuset", "pids")
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_leaves_all_as_it_was(kennel, what):
    """Also those that were right and came with it."""
    limits, field = REFUSED[what]
    container = kennel.start_container("-m", "64M", "--cpus", "0.5", "--pids-limit", "44")
    state = (in_force(kennel, container), memory(container), quota(container), pids(container), weight(container))
    since = now_usec()
    good = {k: v for k, v in {"cpuQuotaPerSecUsec": 900000, "memory": 96 * MIB, "pids": 55}.items() if k not in limits}
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container=container, limits={**good, **limits})
    assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == field, e.value
    assert len(e.value.parameters["reason"]) > 8
    assert state == (in_force(kennel, container), memory(container), quota(container), pids(container), weight(container))
    assert events_since(kennel, since, "updated") == []


@pytest.mark.needs("memory", "pids")
def test_one_that_the_kernel_refuses_takes_the_others_back(kennel, load):
    container = kennel.start_container("-m", "100M", "--pids-limit", "44", "--cpus", "0.5", *load, command=(LOAD, "anon", "60"))
    wait_line(kennel, container, "ready")
    state = (in_force(kennel, container), memory(container), quota(container), pids(container))
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container=container, limits={"pids": 99, "cpuQuotaPerSecUsec": 800000, "memory": 20 * MIB})
    assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == "limits.memory", e.value
    assert state == (in_force(kennel, container), memory(container), quota(container), pids(container))
    assert kennel.inspect(container)["container"]["state"] == "running" and host_pids_of(container)


def test_what_has_exited_is_not_updated(kennel):
    kennel.kennel("run", "--name", "over", "--", "true").ok()
    result = kennel.kennel("update", "--pids-limit", "5", "over")
    assert result.code != 0 and "running" in result.stderr
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container="over", limits={"pids": 5})
    assert e.value.short == "NotRunning"
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container="nothing-here", limits={"pids": 5})
    assert e.value.short == "NoSuchContainer"


@pytest.mark.needs("pids")
def test_paused_ones_are_updated_too(kennel):
    container = kennel.start_container()
    kennel.kennel("pause", container).ok()
    kennel.kennel("update", "--pids-limit", "12", container).ok()
    assert pids(container) == 12
    kennel.kennel("unpause", container).ok()


@pytest.mark.needs("pids")
def test_several_containers_and_an_error(kennel):
    a, b = kennel.start_container("--name", "a"), kennel.start_container("--name", "b")
    result = kennel.kennel("update", "--pids-limit", "9", "a", "nothing-here", "b")
    assert result.code == 1 and "nothing-here" in result.stderr
    assert (pids(a), pids(b)) == (9, 9)


def test_nothing_to_change(kennel):
    kennel.start_container("--name", "a")
    result = kennel.kennel("update", "a")
    assert result.code == 125 and result.stderr


@pytest.mark.needs("pids", "cpu")
def test_many_updates_at_once(kennel):
    """Each is wholly done or refused as one too many; in the end one of them is in force."""
    container = kennel.start_container()
    said = []

    def update(n):
        try:
            said.append((n, kennel.call("Update", container=container, limits={"pids": 100 + n, "cpuWeight": 100 + n})))
        except VarlinkError as e:
            said.append((n, e))

    threads = [threading.Thread(target=update, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    done = {n for n, r in said if not isinstance(r, VarlinkError)}
    assert done and all(r.short == "QuotaExceeded" for n, r in said if n not in done), said
    n = in_force(kennel, container)["pids"] - 100
    assert n in done and in_force(kennel, container)["cpuWeight"] == 100 + n
    assert pids(container) == 100 + n


@pytest.mark.needs("memory", "pids", "cpu", "cpuset")
def test_updates_survive_the_daemon(daemon, load):
    container = daemon.start_container("-m", "64M", *load)
    daemon.kennel("update", "-m", "96M", "--pids-limit", "21", "--cpus", "0.6", "--cpu-weight", "70", "--cpuset-cpus", CPUS[0], container).ok()
    before = in_force(daemon, container)
    assert before["memory"] == 96 * MIB and before["pids"] == 21
    daemon.terminate(signal.SIGKILL, expected=-9)
    assert (memory(container), pids(container)) == (96 * MIB, 21), "the kernel holds them without a daemon"
    daemon.start()
    assert in_force(daemon, container) == before
    assert (memory(container), pids(container), quota(container), cpus(container)) == (96 * MIB, 21, 600000, str(CPUS[0]))
    assert all(c["passed"] for c in daemon.call("Verify", container=container)["checks"])
    daemon.kennel("update", "--pids-limit", "22", container).ok()
    assert in_force(daemon, container) == {**before, "pids": 22}


@pytest.mark.needs("memory", "pids")
def test_killed_while_updating(daemon):
    """At any instant: what the next daemon says is what the kernel has."""
    container = daemon.start_container("-m", "64M")
    for delay in (0.001, 0.003, 0.005, 0.008, 0.012):
        client = daemon.popen("update", "-m", f"{64 + int(delay * 1000)}M", "--pids-limit", int(100 + delay * 1000), container)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(delay)
        daemon.terminate(signal.SIGKILL, expected=-9)
        client.communicate()
        daemon.start()
        said = in_force(daemon, container)
        assert (said["memory"], said["pids"]) == (memory(container), pids(container)), delay
        assert all(c["passed"] for c in daemon.call("Verify", container=container)["checks"])


def test_limits_in_inspect_of_the_client(kennel):
    kennel.start_container("--name", "i")
    said = json.loads(kennel.kennel("inspect", "i").ok())
    assert (said[0] if isinstance(said, list) else said)["limits"] == kennel.inspect("i")["limits"]
