# SPDX-License-Identifier: LGPL-2.1-or-later
"""Readings that do not come from Kennel: /proc, cgroup files, disks; and what tests of accounting and control share."""

import contextlib
import os
import pathlib
import select
import subprocess
import threading
import time

import pytest
from kenneld import PATIENCE, cgroup_directories, controllers, host_pids_of, label, wait_for
from varlink import Closed, VarlinkError

MIB = 2**20
TICK = os.sysconf("SC_CLK_TCK")
LOAD = "/mnt/load"

# version 1 and version 2 have different names for it
needs_io = pytest.mark.skipif(not {"blkio", "io"} & controllers(), reason="no cgroup controller for I/O: see /sys/fs/cgroup")


# the host's own readings ----------------------------------------------------------------------------------------------


def cpu_of(pid):
    """User and system time of a process in seconds, by the scheduler's clock where there is one, else in ticks."""
    with contextlib.suppress(OSError):
        # exact, but only of the first thread: every payload here has one
        return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def ticks_of(pid):
    """User and system time in seconds, from /proc/PID/stat."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICK, int(fields[12]) / TICK


def smaps_of(pid, key):
    """Bytes, from /proc/PID/smaps_rollup."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {key} in smaps_rollup")


def tasks_of(container):
    """Processes and threads."""
    count = 0
    for pid in host_pids_of(container):
        with contextlib.suppress(OSError):
            count += len(os.listdir(f"/proc/{pid}/task"))
    return count


def rates_of(pids, seconds):
    """CPU seconds per second of each process, over a window of so long."""
    begin, before = time.monotonic(), [cpu_of(pid) for pid in pids]
    time.sleep(seconds)  # the window that is measured
    end, after = time.monotonic(), [cpu_of(pid) for pid in pids]
    return [(b - a) / (end - begin) for a, b in zip(before, after)]


def idle():
    """Seconds in which the host's CPUs had nothing to do, since it was started."""
    fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / TICK


def hold_to(what, limit, share, measure, tries=4):
    """MEASURE() is never more than LIMIT and SHARE of it; and nearly as much, unless others leave this host nothing."""
    for _ in range(tries):
        unused, begin = idle(), time.monotonic()
        value = measure()
        busy = idle() - unused < 0.2 * (time.monotonic() - begin)
        assert value <= limit * (1 + share), f"{value:.4g}, not {limit:.4g} {what}"
        if value >= limit * (1 - share):
            return
    assert busy, f"{value:.4g}, not {limit:.4g} {what}"


def control(container, *names):
    """The text of a container's cgroup file that has one of NAMES (of version 1 and of version 2)."""
    for directory in cgroup_directories(container):
        for name in names:
            path = pathlib.Path(directory, name)
            if path.exists():
                return path.read_text().strip()
    raise AssertionError(f"{container} has none of {names} in {cgroup_directories(container)}")


def has_control(container, name):
    """Does the kernel have such a file?"""
    return any(pathlib.Path(directory, name).exists() for directory in cgroup_directories(container))


def quota(container):
    """µs of CPU time per second, None without a limit, from the cgroup."""
    with contextlib.suppress(AssertionError):
        text, period = control(container, "cpu.max").split()
        return None if text == "max" else int(text) * 1000000 // int(period)
    text, period = control(container, "cpu.cfs_quota_us"), control(container, "cpu.cfs_period_us")
    return None if text == "-1" else int(text) * 1000000 // int(period)


def weight(container):
    with contextlib.suppress(AssertionError):
        return int(control(container, "cpu.weight"))
    return round(int(control(container, "cpu.shares")) * 100 / 1024)


def number(text):
    """What version 1 and version 2 have for no limit is None."""
    return None if text == "max" or int(text) >= 2**62 else int(text)


def with_swap(container):
    """Bytes of memory and swap together, None without a limit, 0 where the kernel does not account swap."""
    with contextlib.suppress(AssertionError):
        return number(control(container, "memory.memsw.limit_in_bytes"))
    try:
        swap = number(control(container, "memory.swap.max"))
    except AssertionError:
        return 0
    return None if swap is None else swap + number(control(container, "memory.max"))


def device_control(container, device, kind):
    """readBps, writeBps, readIops, writeIops of a device, None without a limit."""
    old = {"readBps": "read_bps", "writeBps": "write_bps", "readIops": "read_iops", "writeIops": "write_iops"}[kind]
    new = {"readBps": "rbps", "writeBps": "wbps", "readIops": "riops", "writeIops": "wiops"}[kind]
    for line in control(container, "io.max", f"blkio.throttle.{old}_device").splitlines():
        fields = line.split()
        if fields[0] == device:
            value = dict(f.split("=") for f in fields[1:]).get(new, "max") if "=" in line else fields[1]
            return None if value == "max" else int(value)
    return None


def memory_of(process):
    """Bytes that a process has written to and shares with nobody."""
    return smaps_of(process, "Private_Dirty")


def fds_of(process):
    return len(os.listdir(f"/proc/{process}/fd"))


class Disk:
    """A file system of the test's own, on a loop device of its own, mounted at DIRECTORY."""

    def __init__(self, directory, mib):
        self.directory = pathlib.Path(directory)
        self.image = self.directory.with_suffix(".image")
        self.directory.mkdir()
        with open(self.image, "wb") as f:
            f.truncate(mib * MIB)
        made = subprocess.run(["losetup", "--find", "--show", self.image], check=True, capture_output=True, text=True)
        self.path = made.stdout.strip()
        try:
            # without a journal: nothing but what is written goes to the device
            flags = ["-q", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard", "-m", "0"]
            subprocess.run(["mkfs.ext4", *flags, self.path], check=True)
            subprocess.run(["mount", "-o", "noatime", self.path, self.directory], check=True)
        except BaseException:
            self.detach()
            raise
        self.directory.chmod(0o777)
        label(self.directory)
        self.name = pathlib.Path(self.path).name
        self.device = pathlib.Path(f"/sys/block/{self.name}/dev").read_text().strip()

    def detach(self):
        subprocess.run(["losetup", "--detach", self.path], check=True)
        self.image.unlink()

    def close(self):
        subprocess.run(["umount", self.directory], check=True)
        self.detach()

    def drop_cache(self, path):
        fd = os.open(self.directory / path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    def counted(self):
        """Bytes read, bytes written, from the kernel's own count of the device."""
        fields = pathlib.Path(f"/sys/block/{self.name}/stat").read_text().split()
        return int(fields[2]) * 512, int(fields[6]) * 512


# what Kennel says -----------------------------------------------------------------------------------------------------

# A limit that is null and not among the unavailable ones does not exist.
LIMITS = {"memory.limit", "pids.limit", "storage.limit", "storage.inodesLimit"}


def check_sample(sample):
    """Null and `unavailable` say the same: each null has its reason, and nothing that is there is called unavailable."""
    unavailable = {u["counter"]: u["reason"] for u in sample["unavailable"]}
    assert len(unavailable) == len(sample["unavailable"]), "a counter is unavailable twice"
    assert all(len(reason) > 8 for reason in unavailable.values()), unavailable
    seen, present = set(), set()

    def walk(path, value):
        if isinstance(value, dict):
            for name, v in value.items():
                walk(f"{path}.{name}" if path else name, v)
            return
        parts = path.split(".")
        groups = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        if value is None:
            assert groups & set(unavailable) or path in LIMITS, f"{path} is null without a reason"
            seen.update(groups & set(unavailable))
        elif not isinstance(value, list):
            present.update(groups)
            assert value >= 0, f"{path} is {value}"

    fields = {"cpu", "memory", "pids", "io", "storage", "network", "pressure"}
    # a field that is left out is null as well
    whole = {g: {**dict.fromkeys(FIELDS[g]), **sample[g]} for g in fields}
    whole["pressure"] = {k: {"someUsec": None, "fullUsec": None, **v} for k, v in sample["pressure"].items()}
    walk("", whole)
    assert not present & set(unavailable), f"there is a value for {present & set(unavailable)}"
    assert seen == set(unavailable), f"{set(unavailable) - seen} are no counters"
    return sample


FIELDS = {
    "cpu": ("usageUsec", "userUsec", "systemUsec", "periods", "throttledPeriods", "throttledUsec"),
    "memory": (
        *("current", "peak", "workingSet", "anon", "file", "shmem", "kernel", "inactiveFile", "swap", "limit"),
        *("high", "max", "oom", "oomKill"),
    ),
    "pids": ("current", "peak", "limit", "refused"),
    "io": ("readBytes", "writeBytes", "reads", "writes"),
    "storage": ("bytes", "inodes", "limit", "inodesLimit"),
    "network": (f"{way}{what}" for way in ("in", "out") for what in ("Bytes", "Packets", "Errors", "Dropped")),
    "pressure": ("cpu", "memory", "io"),
}
FIELDS["network"] = tuple(FIELDS["network"])


def sample_of(kennel, container):
    """One sample, by a call of its own, no older than this call: one that was read a moment ago serves others too."""
    asked = time.monotonic_ns() // 1000
    while True:
        reply = kennel.call("Stats", containers=[container])
        assert reply["complete"] is True and len(reply["samples"]) == 1
        sample = check_sample(reply["samples"][0])
        age = asked - sample["monotonicUsec"]
        if age <= 0:
            return sample
        assert age <= 150_000, f"the sample is {age} µs old"
        time.sleep(0.02)


def events_since(kennel, usec, kind=None):
    with kennel.connect() as c:
        events = [r["event"] for r in c.stream("Events", sinceUsec=usec, follow=False) if r.get("event")]
    return [e for e in events if kind in (None, e["kind"])]


def wait_event(kennel, since, container, kind, limit=None):
    """The first such event; those since SINCE count too, so that none is missed."""
    with kennel.connect() as c:
        for reply in c.stream("Events", container=container, sinceUsec=since, follow=True):
            event = reply.get("event")
            if event and event["kind"] == kind and limit in (None, event.get("limit")):
                return event
    raise AssertionError(f"no event {kind} came")


def now_usec():
    return int(time.time() * 1e6)


def wait_line(kennel, container, start):
    """Follows the container's output until a line begins with START; the line."""
    with kennel.connect() as c:
        for reply in c.stream("Logs", container=container, follow=True):
            text = (reply.get("entry") or {}).get("text") or ""
            if text.startswith(start):
                return text
    raise AssertionError(f"{container} ended without a line that begins with {start!r}")


def inside(kennel, container, *command, code=0):
    """Runs load.c's ACTION in the container; the words that it says."""
    result = kennel.kennel("exec", container, LOAD, *command)
    assert result.code == code, result
    return result.stdout.split()


class Subscription:
    """A Stats stream that a thread of its own reads: replies in order, with the time of arrival."""

    def __init__(self, kennel, containers=None, interval=100000):
        self.connection = kennel.connect(timeout=PATIENCE * 2)
        parameters = {"intervalUsec": interval}
        if containers is not None:
            parameters["containers"] = containers
        self.connection.send("Stats", parameters, more=True)
        self.replies = []
        self.ended = None  # "end", or the exception
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            continues = True
            while continues:
                reply, continues = self.connection.receive("Stats")
                with self.changed:
                    self.replies.append(reply)
                    self.changed.notify_all()
            ended = "end"
        except (VarlinkError, Closed, OSError, ValueError) as e:
            ended = e
        with self.changed:
            self.ended = ended
            self.changed.notify_all()

    def wait(self, condition, what):
        """Until CONDITION(replies) is true; its value."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while not (value := condition(self.replies)):
                assert self.ended is None, f"the stream ended with {self.ended!r} before {what}"
                assert self.changed.wait(deadline - time.monotonic()), f"waited in vain for {what}"
            return value

    def wait_end(self):
        with self.changed:
            assert self.changed.wait_for(lambda: self.ended is not None, PATIENCE), "the stream does not end"
        return self.ended

    def samples(self, container):
        return [s for r in list(self.replies) for s in r["samples"] if s["container"] == container]

    def wait_samples(self, container, n):
        self.wait(lambda _: len(self.samples(container)) >= n, f"{n} samples of {container}")
        return self.samples(container)

    def close(self):
        # wakes the reader, which close() alone does not
        with contextlib.suppress(OSError):
            self.connection.socket.shutdown(2)
        self.thread.join(PATIENCE)
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def readable(fd, timeout=0.0):
    return bool(select.select([fd], [], [], timeout)[0])


def wait_gone(kennel, container):
    wait_for(lambda: not kennel.remains(container), f"{container} to be gone")
