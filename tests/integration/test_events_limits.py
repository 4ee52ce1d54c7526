# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events of limits, what nobody should ask for as a limit, what tenants may have, and a daemon with many containers that
are looked at all the time."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from kenneld import PATIENCE, SANITIZED, SLOWNESS, Kenneld, controllers, wait_for
from measure import (
    LOAD,
    MIB,
    Subscription,
    check_sample,
    events_since,
    fds_of,
    inside,
    memory_of,
    now_usec,
    wait_event,
    wait_line,
)
from varlink import VarlinkError

CPUS = os.cpu_count()


# events ---------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("memory")
def test_oom_is_not_lost_when_the_container_goes(kennel, load):
    """With --rm nothing of it is left a moment later: the event has been told all the same, each time."""
    since = now_usec()
    for n in range(5):
        result = kennel.run("--name", f"gone-{n}", "-m", "16M", *load, "--", LOAD, "anon", "64")
        assert result.code == 137
    events = events_since(kennel, since)
    for n in range(5):
        kinds = [e["kind"] for e in events if e["name"] == f"gone-{n}"]
        assert kinds.count("oom") == 1, kinds
        assert kinds.index("oom") < kinds.index("removed")
        (exited,) = [e for e in events if e["name"] == f"gone-{n}" and e["kind"] == "exited"]
        assert exited["exit"]["oomKilled"] is True


@pytest.mark.needs("memory")
def test_oom_while_no_daemon_runs(daemon, load):
    """The next one finds it in the counters that the cgroup has kept."""
    since = now_usec()
    script = f"while ! [ -e /tmp/go ]; do sleep 0.01; done; {LOAD} anon 64; touch /tmp/done; exec sleep 1000"
    container = daemon.start_container("-m", "32M", *load, command=("/bin/sh", "-c", script))
    pid = daemon.inspect(container)["container"]["pid"]
    daemon.terminate(signal.SIGKILL, expected=-9)
    root = pathlib.Path(f"/proc/{pid}/root")
    (root / "tmp/go").touch()
    wait_for(lambda: (root / "tmp/done").exists(), "the kill")
    daemon.start()
    assert wait_event(daemon, since, container, "oom")["container"] == container


@pytest.mark.needs("memory")
def test_neighbours_do_not_get_each_others_ooms(kennel, load):
    since = now_usec()
    other = kennel.start_container("-m", "32M", *load)
    kennel.run("-m", "16M", *load, "--", LOAD, "anon", "64")
    assert wait_event_of_any(kennel, since, "oom")["container"] != other
    assert not [e for e in events_since(kennel, since, "oom") if e["container"] == other]


def wait_event_of_any(kennel, since, kind):
    with kennel.connect() as c:
        for reply in c.stream("Events", sinceUsec=since, follow=True):
            if reply["event"] and reply["event"]["kind"] == kind:
                return reply["event"]
    raise AssertionError


@pytest.mark.needs("memory")
def test_memory_at_its_limit(kennel, load, disk):
    """At the limit with nothing killed: page cache is dropped, and that it was reached is told once in ten seconds."""
    since = now_usec()
    # the kernel counts this limit where it is met before the one of memory and swap together
    container = kennel.start_container("-m", "16M", "--memory-swap", "32M", *load, "-v", f"{disk.directory}:/disk")
    for _ in range(3):
        assert inside(kennel, container, "fill", "/disk/cache", 40 * MIB)[3] == "ok"
    event = wait_event(kennel, since, container, "limitReached", "memory")
    assert event["message"] and any(c.isdigit() for c in event["message"])
    reached = [e for e in events_since(kennel, since, "limitReached") if e["container"] == container]
    times = [e["timestampUsec"] for e in reached]
    assert times and all(b - a > 9_900_000 for a, b in zip(times, times[1:])), "at most once in ten seconds"
    assert not [e for e in events_since(kennel, since, "oom") if e["container"] == container]


@pytest.mark.needs("pids")
def test_since_and_of_one_container(kennel, load):
    before = now_usec()
    a = kennel.start_container("--name", "a", "--pids-limit", "5", *load)
    b = kennel.start_container("--name", "b", "--pids-limit", "5", *load)
    for container in (a, b):
        kennel.kennel("exec", container, "/bin/sh", "-c", "for i in 1 2 3 4 5 6; do sleep 0.1 & done; wait")
        wait_event(kennel, before, container, "limitReached", "pids")
    middle = now_usec()
    kennel.kennel("update", "--pids-limit", "50", "a").ok()
    wait_event(kennel, before, a, "updated")
    with kennel.connect() as c:
        of_a = [r["event"] for r in c.stream("Events", container="a", sinceUsec=before, follow=False) if r.get("event")]
    assert {e["container"] for e in of_a} == {a}
    assert [e["kind"] for e in of_a] == ["created", "started", "limitReached", "updated"]
    assert [e["kind"] for e in events_since(kennel, middle)] == ["updated"]
    assert all(e["owner"] == 0 and e["name"] == "a" for e in of_a)
    lines = kennel.kennel("events", "--since", "1m", "--format", "json").json_lines()
    raw = events_since(kennel, before)
    assert [e for e in lines if e["timestampUsec"] >= before] == raw
    (reached,) = [e for e in of_a if e["kind"] == "limitReached"]
    assert reached["limit"] == "pids" and reached["message"]
    text = kennel.kennel("events", "--since", "1m").ok()
    assert "limitReached" in text and "pids" in text and "updated" in text


# bad input ------------------------------------------------------------------------------------------------------------

# Flag: values that are refused, each with what of it is named if that is not all of it; and the range that is named.
BAD = {
    "-m": (["0", "-1", "1", "4095", "4194303", "1e9", "12x", "64MM", "", " 64M", "64 M", "9223372036854775808"], ("4",)),
    "--memory-swap": (["0", "-2", "1M", "x", "9223372036854775808"], ("4",)),
    "--memory-high": (["0", "-1", "x", "64Q"], ()),
    "--cpus": (["0", "-1", "0.001", "x", "1,5", "0.5.5", "1e3", ""], ("0.01",)),
    "--cpu-weight": (["0", "-1", "10001", "x", "1.5", ""], ("1", "10000")),
    "--cpuset-cpus": (["-1", "a", "2-0", "0,", ",0", "0-", "4000", ("0-4000", "host has"), ""], ()),
    "--pids-limit": (["0", "-5", "x", "1.5", "4194305", "99999999999999999999", ""], ("1",)),
    "--io-weight": (["0", "-1", "10001", "x"], ("1", "10000")),
    "--device-read-bps": (
        ["0", "nonsense", ("/dev/null:1M", "/dev/null"), ("/no/such:1M", "/no/such"), ("999:999:1M", "999:999"), "DISK"]
        + [("DISK:0", "0"), ("DISK:-1", "-1"), ("DISK:4095", "4096"), ("DISK:x", "x"), ("DISK:", '""')],
        (),
    ),
    "--device-write-bps": (
        [("DISK:0", "4096"), ("DISK:-1", "-1"), ("DISK:4095", "4096"), ("DISK:1Z", "1Z"), ("/dev/tty:1M", "/dev/tty"), ("/tmp:1M", "/tmp")],
        (),
    ),
    "--device-read-iops": ([("DISK:0", "2"), ("DISK:1", "2"), ("DISK:-1", "-1"), ("DISK:1M1", "1M1"), ("DISK:x", "x"), ("/dev/zero:5", "/dev/zero")], ()),
    "--device-write-iops": ([("DISK:0", "2"), ("DISK:1", "2"), ("DISK:-1", "-1"), ("DISK:99999999999999999999", "99999"), ("1:1:5", "1:1")], ()),
    "--disk": (["0", "-1", "4096", "1048575", "x", ("8000000T", "8796093022208000000")], ()),
    "--disk-inodes": (["0", "-1", "15", "x", "1.5"], ("16",)),
    "--net-rate": (
        ["0", "-1", "7999", "x", ("in=0", "0"), ("out=7999", "7999"), "up=5M", ("in=5M,in=6M", "in"), ("in=", '""'), "2000000000000000"],
        (),
    ),
    "--tmpfs": (
        [(f"/m:{option}={value}", value) for option in ("size", "inodes") for value in ("0", "-1", "1", "x")]
        + [("/m:size=4095", "4095"), ("/m:blocks=5", "blocks")],
        (),
    ),
}


def bad(flag, disk):
    """(value, what has to be in the message)"""
    values, words = BAD[flag]
    for value in values:
        value, named = value if isinstance(value, tuple) else (value, value)
        # those of disks are told with all their flags where only the daemon can know
        yield value.replace("DISK", disk.path), (flag.lstrip("-")[:7], named.replace("DISK", disk.path), *words)


@pytest.mark.parametrize("flag", BAD)
def test_bad_limits_by_the_client(kennel, disk, flag):
    """Nothing starts; the message has the flag, the value and what would be right."""
    needed = ("--network", "bridge") if flag == "--net-rate" else ()
    failures = []
    for value, words in bad(flag, disk):
        result = kennel.run(*needed, flag, value, "--", "true")
        if result.code != 125 or not all(w in result.stderr for w in words):
            failures.append((value, words, result.code, result.stderr))
    assert not failures, "\n".join(map(str, failures))
    assert kennel.containers() == []


@pytest.mark.parametrize("flag", [f for f in BAD if f != "--tmpfs"])
def test_bad_limits_of_an_update(kennel, disk, flag):
    container = kennel.start_container("--name", "u")
    before = kennel.inspect(container)["limits"]
    failures = []
    for value, words in bad(flag, disk):
        result = kennel.kennel("update", flag, value, "u")
        if result.code not in (1, 125) or not all(w in result.stderr for w in words[:1]):
            failures.append((value, words, result.code, result.stderr))
    assert not failures, "\n".join(map(str, failures))
    assert kennel.inspect(container)["limits"] == before


# what the interface says of itself: field → values below and above its range
RANGES = {
    "memory": (4 * MIB, None),
    "memorySwap": (4 * MIB, None),
    "cpuQuotaPerSecUsec": (10000, None),
    "cpuWeight": (1, 10000),
    "pids": (1, None),
    "ioWeight": (1, 10000),
    "disk": (MIB, None),
    "inodes": (16, None),
    "netRateIn": (8000, None),
    "netRateOut": (8000, None),
}


@pytest.mark.parametrize("field", RANGES)
def test_ranges_over_varlink(kennel, field):
    least, most = RANGES[field]
    network = {"network": "bridge"} if field.startswith("net") else {}
    values = [0, -1, -(2**63), least - 1] + ([most + 1, 2**63 - 1] if most else [])
    for value in values:
        with pytest.raises(VarlinkError) as e:
            kennel.call("Run", command=["true"], limits={field: value}, **network)
        assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == f"limits.{field}", e.value
        reason = e.value.parameters["reason"]
        assert str(value) in reason and str(least) in reason, reason
        assert most is None or str(most) in reason, reason


def test_above_the_host(kennel):
    """More than there is: CPUs, disk. Named, with what there is."""
    size = os.statvfs(kennel.data)
    for limits, field in (
        ({"cpusetCpus": f"{CPUS + 5}"}, "limits.cpusetCpus"),
        ({"cpusetCpus": f"0-{CPUS + 5}"}, "limits.cpusetCpus"),
        ({"cpuQuotaPerSecUsec": 10**15}, "limits.cpuQuotaPerSecUsec"),
        ({"disk": 4 * size.f_blocks * size.f_frsize}, "limits.disk"),
        ({"pids": 2**40}, "limits.pids"),
    ):
        with pytest.raises(VarlinkError) as e:
            kennel.call("Run", command=["true"], limits=limits)
        assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == field, e.value
        assert any(c.isdigit() for c in e.value.parameters["reason"])
    assert kennel.containers() == []


@pytest.mark.parametrize("device", ["", "nonsense", "1", "1:", ":1", "1:3", "250:250", "-1:0", "08:0", "8:0 ", "4096:0", "99999999999:0", "0x8:0"])
def test_devices_over_varlink(kennel, device):
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", command=["true"], limits={"ioDevices": [{"device": device, "readBps": MIB}]})
    assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == "limits.ioDevices[0].device", e.value


@pytest.fixture
def partition(scratch):
    """The number of a partition, on a loop device of the test's own."""
    image = scratch / "image"
    with open(image, "wb") as f:
        f.truncate(4 * MIB)
    made = subprocess.run(["losetup", "--find", "--show", "--partscan", image], check=True, capture_output=True, text=True)
    path = made.stdout.strip()
    try:
        subprocess.run(["addpart", path, "1", "8", "2048"], check=True)
        name = pathlib.Path(path).name
        yield pathlib.Path(f"/sys/class/block/{name}p1/dev").read_text().strip()
        subprocess.run(["delpart", path, "1"], check=True)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)


def test_partitions_are_refused(kennel, partition):
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", command=["true"], limits={"ioDevices": [{"device": partition, "readBps": MIB}]})
    assert e.value.short == "InvalidSpec" and "partition" in e.value.parameters["reason"]


def test_many_devices(kennel, disk):
    one = {"device": disk.device, "readBps": MIB}
    for devices, field in (([one] * 17, "limits.ioDevices"), ([one, one], "limits.ioDevices[1].device"), ([{"device": disk.device}], "limits.ioDevices[0]")):
        with pytest.raises(VarlinkError) as e:
            kennel.call("Run", command=["true"], limits={"ioDevices": devices})
        assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == field, e.value


# tenants --------------------------------------------------------------------------------------------------------------


TENANT = 65533
TENANTS = "tenant-group = users\ntenant-disk-max = 40M\n"
CEILINGS = "tenant-memory-max = 64M\ntenant-cpus-max = 0.5\ntenant-pids-max = 50\n"


def as_tenant(daemon, *arguments):
    """The client, as somebody who is not root."""
    import grp

    return subprocess.run(
        daemon.client_command(*arguments),
        user=TENANT,
        group=TENANT,
        extra_groups=[grp.getgrnam("users").gr_gid],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


@pytest.fixture
def tenants_daemon(make_daemon):
    return make_daemon(config=TENANTS)


@pytest.mark.needs("memory", "cpu", "pids")
def test_ceilings(make_daemon):
    daemon = make_daemon(config=TENANTS + CEILINGS)
    started = as_tenant(daemon, "run", "-d", "--name", "t", "--", "sleep", "infinity")
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    limits = daemon.inspect(container)["limits"]
    assert daemon.inspect(container)["container"]["owner"] == TENANT
    expected = {"memory": 64 * MIB, "cpuQuotaPerSecUsec": 500000, "pids": 50, "disk": 40 * MIB}
    assert {k: limits[k] for k in expected} == expected, "what was not asked for is the ceiling"
    assert {k: daemon.call("Info")["tenantLimits"][k] for k in expected} == expected
    for flags, value in ((("-m", "65M"), "65"), (("--cpus", "0.6"), "0.6"), (("--pids-limit", "51"), "51"), (("--disk", "41M"), "41")):
        for command in (("run", "--rm", *flags, "--", "true"), ("update", *flags, "t")):
            result = as_tenant(daemon, *command)
            assert result.returncode in (1, 125), (command, result)
            assert flags[0].lstrip("-") in result.stderr.replace("memory", "m"), (command, result.stderr)
    for flag in ("-m", "--cpus", "--pids-limit"):
        result = as_tenant(daemon, "update", flag, "none", "t")
        assert result.returncode in (1, 125), (flag, result)
    assert daemon.inspect(container)["limits"] == limits
    ok = as_tenant(daemon, "update", "-m", "32M", "--pids-limit", "10", "t")
    assert ok.returncode == 0, ok.stderr
    assert daemon.inspect(container)["limits"]["memory"] == 32 * MIB
    # root has no ceiling, not even for theirs
    daemon.kennel("update", "-m", "128M", "t").ok()
    assert daemon.inspect(container)["limits"]["memory"] == 128 * MIB
    assert daemon.inspect(daemon.start_container())["limits"].get("memory") is None


@pytest.mark.skipif({"memory", "cpu", "pids"} <= controllers(), reason="this host can keep each ceiling: see /sys/fs/cgroup")
def test_ceilings_that_the_host_cannot_keep():
    """A promise of the configuration's that cannot be kept is none: the daemon does not start, and says which."""
    daemon = Kenneld(config=CEILINGS)
    try:
        done = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    finally:
        shutil.rmtree(daemon.base)
    assert done.returncode != 0 and "tenant-" in done.stderr, done.stderr


def test_tenants_see_their_own_alone(tenants_daemon, load):
    daemon = tenants_daemon
    mine = as_tenant(daemon, "run", "-d", "--name", "mine", "--", "sleep", "infinity")
    assert mine.returncode == 0, mine.stderr
    others = daemon.start_container("--name", "others")
    said = [json.loads(line) for line in as_tenant(daemon, "stats", "--no-stream", "--format", "json").stdout.splitlines()]
    assert {s["container"] for s in said} == {mine.stdout.strip()}
    events = [json.loads(line) for line in as_tenant(daemon, "events", "--since", "1m", "--format", "json").stdout.splitlines()]
    assert {e["container"] for e in events} == {mine.stdout.strip()}
    for command in (("stats", "--no-stream", "others"), ("update", "--pids-limit", "5", "others"), ("update", "--pids-limit", "5", others)):
        result = as_tenant(daemon, *command)
        made_up = as_tenant(daemon, *[{"others": "othert", others: "f" * 32}.get(a, a) for a in command])
        assert result.returncode == made_up.returncode != 0
        assert result.stderr.replace("others", "X").replace(others, "X") == made_up.stderr.replace("othert", "X").replace("f" * 32, "X")


def test_ports_of_tenants(tenants_daemon):
    for port in (80, 1023):
        result = as_tenant(tenants_daemon, "run", "--rm", "--network", "bridge", "-p", f"{port}:80", "--", "true")
        assert result.returncode == 125 and str(port) in result.stderr and "1024" in result.stderr.replace(",", ""), result
    result = as_tenant(tenants_daemon, "run", "--rm", "--network", "host", "--", "true")
    assert result.returncode == 125 and "host" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "tenant-memory-max = 1M",
        "tenant-memory-max = x",
        "tenant-cpus-max = 0",
        "tenant-cpu-weight-max = 10001",
        "tenant-pids-max = -1",
        "tenant-disk-max = 5",
        "tenant-net-rate-in-max = 5",
        "tenant-cpuset = 3-1",
        "tenant-device-read-bps = nonsense",
        "network-pool = 10.0.0.1/24",
        "network-pool = 10.0.0.0/30",
        "network-bridge = this-name-is-too-long",
        "network-masquerade = maybe",
        "disk-default = 5",
    ],
)
def test_bad_configuration(line):
    daemon = Kenneld(config=f"{line}\n")
    try:
        done = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    finally:
        shutil.rmtree(daemon.base)
    key, value = line.split(" = ")
    assert done.returncode != 0
    assert key in done.stderr and value in done.stderr and ":1" in done.stderr, done.stderr


# many -----------------------------------------------------------------------------------------------------------------

MANY = 40 if SANITIZED or SLOWNESS > 1 else 200
WARM_UP, MEASURED = 3, 10


def at_once(kennel, jobs, n=8):
    """jobs: functions of a connection, done over N of them."""
    jobs = iter(jobs)
    lock = threading.Lock()

    def work():
        with kennel.connect(timeout=PATIENCE * 3) as c:
            while True:
                with lock:
                    job = next(jobs, None)
                if job is None:
                    return
                job(c)

    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        for done in [pool.submit(work) for _ in range(n)]:
            done.result()


def start_many(kennel, n):
    """Idle containers; their ids."""
    found = set()

    def start(c):
        found.add(c.call("Run", command=["sleep", "infinity"], limits={"unlimited": ["disk"]})["container"]["id"])

    at_once(kennel, [start] * n)
    return found


def remove_many(kennel, containers):
    """And one look for all of them at what is left."""
    at_once(kennel, [lambda c, i=i: c.call("Remove", container=i, force=True) for i in containers])

    def left():
        names = {d for _, directories, _ in os.walk("/sys/fs/cgroup") for d in directories}
        return containers & (names | set(os.listdir(kennel.state / "containers")) | set(os.listdir(kennel.data / "containers")))

    wait_for(lambda: not left(), "what is left of the containers to go")


def cpu_usec(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


class Collector:
    """A subscriber that takes what comes as fast as it comes, and looks at it afterwards."""

    def __init__(self, kennel):
        self.connection = kennel.connect()
        self.text = bytearray()
        self.connection.send("Stats", {"intervalUsec": 100000}, more=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        with contextlib.suppress(OSError):
            while chunk := self.connection.socket.recv(1 << 20):
                self.text += chunk

    def wait_ticks(self, n):
        """N more."""
        end = self.text.count(b'"complete":true') + n
        wait_for(lambda: self.text.count(b'"complete":true') >= end, f"{n} ticks", timeout=PATIENCE + n)

    def close(self):
        """All samples."""
        self.connection.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.connection.close()
        messages = [json.loads(m) for m in bytes(self.text).split(b"\0")[:-1]]
        assert not any("error" in m for m in messages), messages[-1]
        return [s for m in messages for s in m["parameters"]["samples"]]


LOOKING = 8  # descriptors that the look has open while it looks at one process


@pytest.mark.slow
def test_many_containers_at_ten_hertz(make_daemon):
    """Memory and descriptors of the daemon stay what they are, every tick has every container; a subscriber that does not
    read is dropped and nobody else notices."""
    kennel = make_daemon()
    pid = kennel.process.pid
    containers = start_many(kennel, MANY)
    reader = Collector(kennel)
    reader.wait_ticks(WARM_UP * 10)
    memory, descriptors, used, begin = memory_of(pid), fds_of(pid), cpu_usec(pid), time.monotonic()
    reader.wait_ticks(MEASURED * 10)
    grown, share = memory_of(pid) - memory, (cpu_usec(pid) - used) / 1e6 / (time.monotonic() - begin)
    print(f"{MANY} containers at 10 Hz: {share:.1%} of a CPU, {grown} bytes more, {descriptors} descriptors")
    assert abs(fds_of(pid) - descriptors) <= LOOKING, "descriptors grow"
    assert SANITIZED or grown <= 512 * 1024, f"{grown} bytes more after {MEASURED} s"
    before_the_slow_one = len(reader.text)
    slow_reader(kennel, reader)
    assert abs(fds_of(pid) - descriptors) <= LOOKING, "descriptors grow"
    with_the_slow_one = bytes(reader.text[before_the_slow_one:]).split(b"\0")[1:-1]
    samples = reader.close()
    check_ticks(samples, containers)
    at = sorted({s["monotonicUsec"] for m in with_the_slow_one for s in json.loads(m)["parameters"]["samples"]})
    assert max(b - a for a, b in zip(at, at[1:])) < (3_000_000 if SANITIZED else 500_000) * SLOWNESS, "nobody waited for it"
    # without subscribers there is nothing to do
    used = cpu_usec(pid)
    time.sleep(1)  # the window that is measured
    assert SANITIZED or cpu_usec(pid) - used < 20000 * SLOWNESS, "µs of CPU time in a second in which nobody asked for anything"
    assert fds_of(pid) < descriptors
    remove_many(kennel, containers)


def check_ticks(samples, containers):
    one = next(iter(containers))
    at = [s["monotonicUsec"] for s in samples if s["container"] == one]
    assert abs((at[-1] - at[0]) / (len(at) - 1) - 100000) < (100000 if SANITIZED else 10000) * SLOWNESS, "ten times a second"
    count = {c: 0 for c in containers}
    for s in samples:
        count[s["container"]] += 1
    assert max(count.values()) - min(count.values()) <= 1, "each in every tick"
    for s in samples[:: max(1, len(samples) // 200)]:
        check_sample(s)


def slow_reader(kennel, reader):
    """One that asks and does not read, until more than anybody may have waiting for him has come to everybody else."""
    with socket.socket(socket.AF_UNIX) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(str(kennel.socket))
        slow.settimeout(PATIENCE)
        call = {"method": "io.kennel.Stats", "parameters": {"intervalUsec": 100000}, "more": True}
        slow.sendall(json.dumps(call).encode() + b"\0")
        size = len(reader.text)
        wait_for(lambda: len(reader.text) - size > 6 * MIB, "6 MiB of samples", timeout=PATIENCE * 3)
        text = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while chunk := slow.recv(1 << 20):
                text += chunk
                assert len(text) < 16 * MIB, "what waits is bounded, and then the connection ends"
        last = json.loads(bytes(text).rstrip(b"\0").rsplit(b"\0", 1)[-1])
        assert "error" in last and "read" in json.dumps(last["parameters"]), last


@pytest.mark.skipif(not controllers(), reason="no cgroup controllers")
def test_containers_come_and_go_under_a_subscriber(kennel):
    """The daemon's descriptors after fifty that lived for a moment are those before."""
    with Subscription(kennel) as reader:
        reader.wait(lambda r: len(r) >= 2, "ticks")
        kennel.run("--", "true").ok()
        wait_for(lambda: kennel.containers() == [], "the first to go")
        before = fds_of(kennel.process.pid)
        for _ in range(50):
            kennel.run("--", "true").ok()
        wait_for(lambda: kennel.containers() == [], "the last to go")
        wait_for(lambda: fds_of(kennel.process.pid) <= before, "descriptors to be closed")
        finals = [s for r in reader.replies for s in r["samples"] if s["final"]]
        assert len({s["container"] for s in finals}) == len(finals) == 51


@pytest.mark.needs("memory")
def test_payload_that_waits_in_line_is_counted(kennel, load):
    """An oom of one of many processes, and a sample that says the same as the event."""
    since = now_usec()
    script = f"for i in 1 2 3; do {LOAD} anon 64 || echo died; done; echo over; exec sleep 1000"
    container = kennel.start_container("-m", "32M", *load, command=("/bin/sh", "-c", script))
    wait_line(kennel, container, "over")
    wait_event(kennel, since, container, "oom")
    memory = kennel.call("Stats", containers=[container])["samples"][0]["memory"]
    assert memory["oomKill"] == 3
