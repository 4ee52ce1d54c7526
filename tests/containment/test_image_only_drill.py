# SPDX-License-Identifier: LGPL-2.1-or-later
"""`--exec-policy image-only`: a program that the image did not bring runs from nowhere, and is not mapped to be run either."""

import shutil

import pytest

BUSYBOX = "/bin/busybox"
# Where: (set up as $f, then how it is run). What has run says so. busybox goes by the name that it is called by.
RUN = "$f echo IT RUNS"
PLACES = {
    "root": ("f=/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "tmp": ("f=/tmp/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "shm": ("f=/dev/shm/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "run": ("mkdir -p /run; f=/run/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "volume": ("f=/volume/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "tmpfs": ("f=/scratch/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "deleted": ("cp /given/busybox /tmp/d; chmod 755 /tmp/d; exec 3</tmp/d; rm /tmp/d; f=/tmp/busybox-d; ln -s /proc/self/fd/3 $f", RUN),
    "fd": ("cp /given/busybox /tmp/d; chmod 755 /tmp/d; exec 3</tmp/d; f=/tmp/busybox-d; ln -s /proc/self/fd/3 $f", RUN),
    "memfd": (":", "MEMFD"),
    # beyond the nine
    "as it is given": ("f=/given/busybox", RUN),
    "over a program of the image's": ("f=/usr/bin/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "a link": ("cp /given/busybox /tmp/busybox-x; ln -s /tmp/busybox-x /etc/busybox-y; f=/etc/busybox-y", RUN),
    "/dev": ("f=/dev/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "/dev/mqueue": ("f=/dev/mqueue/busybox-x; cp /given/busybox $f; chmod 755 $f", RUN),
    "a script": ("f=/tmp/script; printf '#!/bin/sh\\necho IT RUNS\\n' >$f; chmod 755 $f", "$f"),
}
PYTHON_MEMFD = "/usr/bin/python3 -c 'import os; f = os.memfd_create(\"x\"); os.write(f, open(\"/given/busybox\", \"rb\").read()); " \
    "os.execv(f\"/proc/self/fd/{f}\", [\"busybox\", \"echo\", \"IT\", \"RUNS\"])'"


@pytest.fixture(params=["host", "rootfs"])
def image(request, scratch):
    """(flags, command for the memfd)"""
    given, volume = scratch / "given", scratch / "volume"
    for directory in (given, volume):
        directory.mkdir()
        directory.chmod(0o777)
    shutil.copy2(BUSYBOX, given / "busybox")
    flags = ["-v", f"{given}:/given:ro,z", "-v", f"{volume}:/volume:z", "--tmpfs", "/scratch"]
    if request.param == "host":
        return flags, PYTHON_MEMFD
    root = request.getfixturevalue("rogue_root")
    return [*flags, "--rootfs", root], "/bin/rogue memfd x /given/busybox busybox echo IT RUNS"


def script(place, memfd):
    prepare, run = PLACES[place]
    return f"{prepare}\n{memfd if run == 'MEMFD' else run}\n"


@pytest.mark.parametrize("place", PLACES)
def test_runs_nowhere(kennel, image, place):
    flags, memfd = image
    text = script(place, memfd)
    plain = kennel.run(*flags, "--", "/bin/sh", "-c", text)
    if place not in ("over a program of the image's", "/dev", "/dev/mqueue"):  # nothing can be written there in some image
        assert "IT RUNS" in plain.stdout, f"shows nothing: it does not run without the policy either: {plain}"
    refused = kennel.run("--exec-policy", "image-only", *flags, "--", "/bin/sh", "-c", text)
    assert "IT RUNS" not in refused.stdout and refused.code != 0, refused


@pytest.mark.parametrize("place", [p for p in PLACES if p not in ("memfd", "a script")])
def test_nor_with_kennel_exec(kennel, image, place):
    flags, _ = image
    container = kennel.start_container("--exec-policy", "image-only", *flags)
    assert "IT RUNS" not in kennel.kennel("exec", container, "/bin/sh", "-c", script(place, "")).stdout
    for path in ("/tmp/d", "/tmp/busybox-x", "/busybox-x", "/volume/busybox-x", "/given/busybox"):
        assert "IT RUNS" not in kennel.kennel("exec", container, path, "echo", "IT RUNS").stdout, path


def test_mapped_to_be_executed(kennel, rogue_root, scratch):
    (scratch / "given").mkdir()
    shutil.copy2(BUSYBOX, scratch / "given" / "busybox")
    flags = ["--rootfs", rogue_root, "-v", f"{scratch}/given:/given:z", "--tmpfs", "/scratch"]
    text = "cp /given/busybox /tmp/x; cp /given/busybox /scratch/x; cp /given/busybox /dev/shm/x; "
    text += "for f in /bin/busybox /tmp/x /scratch/x /dev/shm/x /given/busybox; do rogue map $f; done"
    assert kennel.run(*flags, "--", "/bin/sh", "-c", text).ok().split() == ["ok"] * 5
    out = kennel.run("--exec-policy", "image-only", *flags, "--", "/bin/sh", "-c", text).ok().split()
    assert out[0] == "ok" and "ok" not in out[1:], out


def test_preloaded_and_by_the_dynamic_linker(kennel):
    """The image's own linker does not run what it maps, and programs do not load a library from there."""
    text = """cp /usr/bin/true /tmp/true; cp /usr/bin/true /dev/shm/true
    for l in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*; do [ -e $l ] && break; done
    $l /tmp/true && echo IT RUNS; $l /dev/shm/true && echo IT RUNS
    cp /usr/lib/*/libm.so.6 /tmp/own.so; LD_PRELOAD=/tmp/own.so cat /proc/self/maps | grep -q ' r.x.*own.so' && echo IT RUNS; :"""
    assert kennel.sh(text).count("IT RUNS") == 3
    assert "IT RUNS" not in kennel.sh(text, "--exec-policy", "image-only")


def test_the_image_runs(kennel, image):
    """All that the image has: the policy costs it nothing."""
    flags, _ = image
    text = "ls / >/dev/null && cat /proc/self/status | grep -c Pid && sh -c 'echo x | sort' && echo written >/tmp/x && cat /tmp/x"
    assert kennel.run("--exec-policy", "image-only", *flags, "--", "/bin/sh", "-c", text).ok().endswith("x\nwritten\n")
    container = kennel.start_container("--exec-policy", "image-only", *flags)
    assert kennel.inspect(container)["execPolicy"] == "imageOnly"
    assert kennel.kennel("verify", container).code == 0
    assert kennel.kennel("exec", container, "ls", "/").code == 0


def test_mount_flags_are_not_taken_off(kennel, rogue_root):
    """Not with what root inside may do either, under the ten capabilities."""
    text = "for m in / /tmp /dev/shm; do mount -o remount,exec $m; done; mount -t tmpfs none /mnt; unshare -Ur true; cp /bin/busybox /tmp/busybox-x; /tmp/busybox-x echo IT RUNS"
    out = kennel.run("--cap-add", "system", "--exec-policy", "image-only", "--rootfs", rogue_root, "--", "/bin/sh", "-c", text)
    assert "IT RUNS" not in out.stdout and out.code != 0, out
