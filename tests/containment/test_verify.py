# SPDX-License-Identifier: LGPL-2.1-or-later
"""`kennel verify` at any time: passes whatever an ordinary program does to itself, and sees what was taken away."""

import os
import pathlib
import subprocess

import pytest
from kenneld import cgroup_directories, wait_for


def difference(kennel, container):
    """The rows that have not passed, as name: found."""
    reply = kennel.call("Verify", container=container)
    assert reply["passed"] == all(c["passed"] for c in reply["checks"])
    return {c["control"]: c["found"] for c in reply["checks"] if not c["passed"]}


def test_every_kind_of_control_has_a_row(kennel, scratch):
    flags = ["-m", "64m", "-v", f"{scratch}:/mnt/a\\b:ro", "--tmpfs", "/x", "--read-only", "--ulimit", "nofile=100:200"]
    container = kennel.start_container(*flags)
    rows = {c["control"]: c for c in kennel.call("Verify", container=container)["checks"]}
    for control in """uid gid groups uidMap gidMap capInheritable capPermitted capEffective capBounding capAmbient noNewPrivs
        seccompMode seccompFilters userNamespace pidNamespace mountNamespace ipcNamespace utsNamespace cgroupNamespace
        timeNamespace networkNamespace pid oomScoreAdj ulimits.nofile ulimits.core rootMount usrMount procMount procSysMount
        sysMount cgroupMount devMount ptsMount shmMount mqueueMount masks volumes[0] tmpfs[0] otherMounts descriptors cgroup
        deviceProgram limits.memory limits.memorySwap limits.pids""".split():
        assert rows[control]["passed"], rows[control]
    assert rows["volumes[0]"]["found"] == "ro,nosuid,nodev,idmapped /mnt/a\\b"
    assert rows["rootMount"]["found"].startswith("ro,")
    assert rows["limits.memory"]["found"] == str(64 * 1024 * 1024)
    assert int(rows["masks"]["found"].split()[0]) > 10


def test_what_a_program_may_do_to_itself(kennel):
    """As servers do: limits lowered, files opened, standard output moved, another user."""
    script = "exec 3</etc 4>&1 >/dev/null; ulimit -n 50; cd /usr; echo 900 >/proc/self/oom_score_adj; "
    script += "exec python3 -c 'import os; os.setgroups([]); os.setgid(33); os.setuid(33); os.execvp(\"sleep\", [\"sleep\", \"9999\"])'"
    container = kennel.start_container("--cap-add", "system", command=("sh", "-c", script))
    pid = kennel.inspect(container)["container"]["pid"]
    wait_for(lambda: "sleep" in pathlib.Path(f"/proc/{pid}/comm").read_text(), "the program as another user")
    assert difference(kennel, container) == {}
    assert kennel.kennel("verify", container).code == 0


def test_a_program_that_has_changed_its_root(kennel):
    container = kennel.start_container("--cap-add", "system", command=("sh", "-c", "exec chroot /usr bin/sleep infinity"))
    pid = kennel.inspect(container)["container"]["pid"]
    wait_for(lambda: "sleep" in pathlib.Path(f"/proc/{pid}/comm").read_text(), "the program in its root")
    assert difference(kennel, container) == {}
    # and the daemon has not been left in there
    assert kennel.run("--", "true").code == 0


def test_paused(kennel):
    container = kennel.start_container()
    kennel.kennel("pause", container).ok()
    assert difference(kennel, container) == {}
    assert kennel.kennel("verify", container).code == 0
    kennel.kennel("unpause", container).ok()


def test_a_volume_behind_a_link_of_the_image(kennel, scratch, busybox_root, tmp_path):
    root = scratch / "root"
    os.system(f"cp -a {busybox_root} {root} && mkdir {root}/real && ln -s real {root}/linked")
    volume = scratch / "volume"
    volume.mkdir()
    container = kennel.start_container("--rootfs", root, "-v", f"{volume}:/linked/here:ro")
    assert difference(kennel, container) == {}
    rows = {c["control"]: c["found"] for c in kennel.call("Verify", container=container)["checks"]}
    assert rows["volumes[0]"] == "ro,nosuid,nodev,idmapped /real/here"


def test_what_was_taken_away_is_seen(kennel):
    """By root on the host, behind the daemon's back."""
    container = kennel.start_container("--pids-limit", "100")
    pid = kennel.inspect(container)["container"]["pid"]
    for directory in cgroup_directories(container):
        limit = pathlib.Path(directory, "pids.max")
        if limit.exists():
            limit.write_text("200")
    inside = ["nsenter", "-t", str(pid), "-m", "-p"]
    subprocess.run([*inside, "mount", "-o", "remount,bind,rw", "/proc/sys"], check=True)
    subprocess.run([*inside, "umount", "/proc/interrupts"], check=True)
    subprocess.run([*inside, "mount", "-t", "tmpfs", "none", "/srv"], check=True)
    assert difference(kennel, container) == {
        "procSysMount": "rw,nosuid,nodev,noexec proc /proc/sys",
        "masks": "/proc/interrupts is not covered",
        "otherMounts": "rw tmpfs /srv",
        "limits.pids": "200",
    }
    done = kennel.kennel("verify", container)
    assert done.code == 1
    failed = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("FAILED")]
    assert failed == ["procSysMount", "masks", "otherMounts", "limits.pids"]
    rows = kennel.kennel("verify", "--format", "json", container)
    assert rows.code == 1 and '"control":"masks"' in rows.stdout.replace(" ", "")


@pytest.mark.parametrize("limits", [{"pids": 300}, {"memory": 128 * 1024 * 1024}])
def test_while_limits_change(kennel, limits):
    """What is compared is one set of limits or the other, never half of each."""
    container = kennel.start_container("-m", "64m", "--pids-limit", "100")
    (key, value), = limits.items()
    with kennel.connect() as a:
        for n in range(20):
            a.call("Update", container=container, limits={key: value + 4096 * n})
            assert difference(kennel, container) == {}
