# SPDX-License-Identifier: LGPL-2.1-or-later
"""The size of the writable layer and of every tmpfs: a full container gets ENOSPC or EDQUOT, and nobody else notices."""

import os
import pathlib
import signal
import subprocess

import pytest
from kenneld import wait_for
from measure import (
    LOAD,
    MIB,
    inside,
    now_usec,
    sample_of,
    wait_event,
)
from varlink import VarlinkError

FULL = {"ENOSPC", "EDQUOT"}


def loops():
    """Loop devices in use: (name, file)."""
    found = set()
    for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.add((path.parts[3], path.read_text().strip()))
        except OSError:
            pass  # it went meanwhile
    return found


def of(kennel):
    return {l for l in loops() if str(kennel.base) in l[1]}


def test_disk(kennel, load):
    container = kennel.start_container("--disk", "50M", *load)
    neighbour = kennel.start_container("--disk", "50M", *load)
    unlimited = kennel.start_container(*load)
    on_host = os.statvfs(kennel.data)
    _, bytes_, _, error = inside(kennel, container, "fill", "/var/all", 200 * MIB)
    assert error in FULL
    assert abs(int(bytes_) - 50 * MIB) <= 0.02 * 50 * MIB, f"{int(bytes_) / MIB:.2f} MiB"
    assert on_host.f_bavail * on_host.f_frsize - os.statvfs(kennel.data).f_bavail * on_host.f_frsize < 80 * MIB
    # full is full, in every directory of the layer, and rewriting what is there still works
    result = kennel.kennel("exec", container, LOAD, "fill", "/tmp/more", MIB)
    assert result.stdout.split()[-1] in FULL, result
    # neighbours do not notice
    assert inside(kennel, neighbour, "fill", "/var/x", 20 * MIB)[3] == "ok"
    assert inside(kennel, unlimited, "fill", "/var/x", 60 * MIB)[3] == "ok"
    (kennel.data / "host-can-write").write_bytes(b"x" * MIB)
    (kennel.data / "host-can-write").unlink()
    # and there is room again when something goes
    kennel.kennel("exec", container, "rm", "/var/all").ok()
    assert inside(kennel, container, "fill", "/var/again", 30 * MIB)[3] == "ok"


def test_disk_is_told(kennel, load):
    container = kennel.start_container("--disk", "20M", *load)
    inspected = kennel.inspect(container)
    assert inspected["storage"] in ("projectQuota", "fileSystem") and inspected["limits"]["disk"] == 20 * MIB
    assert kennel.inspect(kennel.start_container())["storage"] in ("directory", "projectQuota", "fileSystem")
    info = kennel.call("Info")
    assert info["storage"] == inspected["storage"]
    checks = kennel.call("Verify", container=container)["checks"]
    assert all(c["passed"] for c in checks)
    if inspected["storage"] == "fileSystem":
        assert len(of(kennel)) >= 1
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        assert str(kennel.base) not in mounts, "the file system of its own is not in the host's table of mounts"


def test_disk_event(kennel, load):
    since = now_usec()
    container = kennel.start_container("--name", "full", "--disk", "10M", *load)
    assert inside(kennel, container, "fill", "/var/all", 200 * MIB)[3] in FULL
    event = wait_event(kennel, since, container, "limitReached", "disk")
    assert event["name"] == "full" and event["message"]


def test_disk_event_of_one_that_ends_full(kennel, load):
    since = now_usec()
    kennel.kennel("run", "--name", "full", "--disk", "10M", *load, "--", LOAD, "fill", "/var/all", 200 * MIB).ok()
    assert wait_event(kennel, since, "full", "limitReached", "disk")["limit"] == "disk"


def test_disk_inodes(kennel, load):
    since = now_usec()
    container = kennel.start_container("--disk", "50M", "--disk-inodes", "200", *load)
    before = sample_of(kennel, container)["storage"]
    _, n, error = inside(kennel, container, "files", "/var", "5000")
    assert error in FULL and 150 <= int(n) <= 200, "the directories of the layer are among them"
    storage = sample_of(kennel, container)["storage"]
    assert storage["inodesLimit"] == kennel.inspect(container)["limits"]["inodes"]
    assert abs(storage["inodesLimit"] - 200) <= 16
    assert int(n) <= storage["inodes"] - before["inodes"] <= int(n) + 2
    neighbour = kennel.start_container("--disk", "50M", *load)
    assert inside(kennel, neighbour, "files", "/var", "1000")[2] == "ok"
    assert wait_event(kennel, since, container, "limitReached", "inodes")["message"]


def test_disk_of_the_least_size(kennel, load):
    """One MiB is promised; a file system's own needs may not eat it up."""
    container = kennel.start_container("--disk", "1M", *load)
    _, bytes_, _, error = inside(kennel, container, "fill", "/var/x", 4 * MIB)
    assert error in FULL and 0.5 * MIB <= int(bytes_) <= 1.05 * MIB


def test_removal_leaves_nothing(kennel, load):
    before = of(kennel)
    containers = [kennel.start_container("--disk", "20M", *load) for _ in range(3)]
    for container in containers:
        inside(kennel, container, "fill", "/var/x", MIB)
    kennel.kennel("rm", "-f", *containers).ok()
    wait_for(lambda: of(kennel) == before, "the loop devices to go")
    for container in containers:
        wait_for(lambda: not kennel.remains(container), "the directories to go")


def test_disk_survives_the_daemon(daemon, load):
    container = daemon.start_container("--disk", "30M", *load)
    over = daemon.start_container("--disk", "30M", *load)
    inside(daemon, container, "fill", "/var/x", 10 * MIB)
    before = sample_of(daemon, container)["storage"]
    daemon.terminate(signal.SIGKILL, expected=-9)
    daemon.start()
    after = sample_of(daemon, container)["storage"]
    assert after == before and after["bytes"] >= 10 * MIB
    assert daemon.inspect(container)["limits"]["disk"] == 30 * MIB
    _, bytes_, _, error = inside(daemon, container, "fill", "/var/y", 100 * MIB)
    assert error in FULL and abs(int(bytes_) - 20 * MIB) < 2 * MIB
    daemon.terminate(signal.SIGKILL, expected=-9)
    # this one ends while there is no daemon
    for line in subprocess.run(["pgrep", "-x", "sleep"], check=False, capture_output=True, text=True).stdout.split():
        if f"/{over}\n" in pathlib.Path(f"/proc/{line}/cgroup").read_text():
            os.kill(int(line), signal.SIGKILL)
    daemon.start()
    daemon.wait_exited(over)
    for c in (container, over):
        daemon.kennel("rm", "-f", c).ok()
    wait_for(lambda: not of(daemon), "the loop devices to go")


def test_rootfs_with_a_disk(kennel, load, busybox_root):
    container = kennel.start_container("--disk", "10M", "--rootfs", busybox_root, *load)
    _, bytes_, _, error = inside(kennel, container, "fill", "/var/x", 100 * MIB)
    assert error in FULL and abs(int(bytes_) - 10 * MIB) <= 0.05 * 10 * MIB
    assert not (busybox_root / "var" / "x").exists()


def test_other_users_of_the_container_are_held_too(kennel, load):
    """Neither root's reserve in a file system nor an id of its own gives more."""
    container = kennel.start_container("--disk", "10M", *load)
    result = kennel.kennel("exec", "-u", "1000", container, LOAD, "fill", "/tmp/x", 100 * MIB)
    assert int(result.ok().split()[1]) <= 10.2 * MIB
    result = kennel.kennel("exec", container, LOAD, "fill", "/var/x", 100 * MIB)
    words = result.stdout.split()
    assert words[-1] in FULL and (words[0] == "open" or int(words[1]) < 0.5 * MIB), result


def test_sparse_files_and_holes(kennel, load):
    """What counts are blocks: a file of a terabyte that has none is none."""
    container = kennel.start_container("--disk", "20M", *load)
    result = kennel.kennel("exec", container, "truncate", "-s", "1G", "/var/sparse")
    assert result.code in (0, 1)
    assert sample_of(kennel, container)["storage"]["bytes"] < 3 * MIB


def test_tmpfs_size(kennel, load):
    container = kennel.start_container("--tmpfs", "/small:size=8M", "--tmpfs", "/other:size=8M", *load)
    _, bytes_, _, error = inside(kennel, container, "fill", "/small/x", 100 * MIB)
    assert (int(bytes_), error) == (8 * MIB, "ENOSPC")
    assert inside(kennel, container, "fill", "/other/x", 4 * MIB)[3] == "ok"


def test_tmpfs_inodes(kennel, load):
    container = kennel.start_container("--tmpfs", "/few:size=8M,inodes=50", "--tmpfs", "/derived:size=1M", *load)
    _, n, error = inside(kennel, container, "files", "/few", "1000")
    assert error == "ENOSPC" and 48 <= int(n) <= 50, "its root directory is one of them"
    # one for each 16 KiB, where nothing was said
    _, n, error = inside(kennel, container, "files", "/derived", "1000")
    assert error == "ENOSPC" and 62 <= int(n) <= 64
    statvfs = "import os; s = os.statvfs('/few'); print(s.f_files, s.f_blocks * s.f_frsize)"
    assert kennel.kennel("exec", container, "python3", "-c", statvfs).ok().split() == ["50", str(8 * MIB)]


def test_read_only_has_no_layer(kennel):
    container = kennel.start_container("--read-only")
    assert kennel.inspect(container).get("storage") is None
    for flags in (("--disk", "10M"), ("--disk-inodes", "100")):
        result = kennel.run("--read-only", *flags, "--", "true")
        assert result.code == 125 and "disk" in result.stderr + result.stderr.replace("inodes", "disk"), result


def test_without_what_it_takes_it_is_refused(make_daemon, scratch):
    """A host that has neither project quotas nor mkfs.ext4: --disk is refused with the reason, never ignored."""
    daemon = make_daemon(environment={"PATH": str(scratch)})
    info = daemon.call("Info")
    if info["storage"] == "projectQuota":
        pytest.skip("this host has project quotas, which need no program: see Info's storage")
    if info["storage"] == "fileSystem":
        pytest.skip("mkfs.ext4 is found without PATH: see Info's storage")
    result = daemon.run("--disk", "10M", "--", "true")
    assert result.code == 125 and "disk" in result.stderr
    with pytest.raises(VarlinkError) as e:
        daemon.call("Run", command=["true"], limits={"disk": 10 * MIB})
    assert e.value.short == "LimitUnavailable" and e.value.parameters["controller"] == "storage"
