# SPDX-License-Identifier: LGPL-2.1-or-later
"""A virtual machine from its first instruction to its end: qemu, the console that it writes, what it brings out.

The machine has no network and no devices but two disks, a random number generator and a serial console. It is emulated
in software: /dev/kvm of a nested host is there more often than it works. KENNEL_VM_ACCEL=kvm takes it all the same.
"""

import os
import pathlib
import subprocess
import time

import disk

BOOT_LIMIT = 300  # seconds to the first test
RESULTS_SIZE = 256 << 20
# Left alone, the kernel distrusts the emulated TSC and asks the HPET for the time: each time that it wants to know, two
# processors queue for one lock of qemu's. And nobody attacks an emulated processor's speculation: it has none.
FAST = "tsc=reliable clocksource=tsc no_timer_check mitigations=off"
# What costs an emulator more than it gives: string instructions that copy byte by byte, page tables of five levels, and
# a protection that ends a translated block at each access to user memory.
PROCESSOR = "max,-erms,-fsrm,-la57,-smap"


class MachineFailed(Exception):
    """The machine did not come up, hung, or brought nothing out."""


def command(kernel, initrd, target, image, results, console):
    accelerator = os.environ.get("KENNEL_VM_ACCEL") or "tcg,thread=multi"
    append = f"root=/dev/vda rw console=ttyS0 panic=-1 quiet systemd.mask=serial-getty@ttyS0.service {FAST} {target.append}"
    if target.quota:
        append += " rootflags=prjquota"
    # qemu goes when this process does, however it ends
    line = ["setpriv", "--pdeathsig", "KILL", "--", "qemu-system-x86_64", "-accel", accelerator, "-smp", "2"]
    line += ["-cpu", "host" if accelerator.startswith("kvm") else PROCESSOR]
    line += ["-m", str(target.memory), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"]
    line += ["-device", "virtio-rng-pci", "-serial", f"file:{console}", "-kernel", str(kernel), "-initrd", str(initrd)]
    for path in (image, results):
        line += ["-drive", f"file={path},format=raw,if=virtio,cache=unsafe"]
    return [*line, "-append", append]


def marks(console):
    """What the guest said on its console about its progress."""
    try:
        text = pathlib.Path(console).read_text(errors="replace")
    except OSError:
        return []
    return [line.split("kennel-vm: ", 1)[1].strip() for line in text.splitlines() if "kennel-vm: " in line]


def cpu_of(process):
    """Seconds of CPU time; they say more than the clock where other programs run as well. None at its end."""
    try:
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait(process, console, limit):
    """Until the machine is off, has a kernel that panicked (which is off, too), or has had its time. Its CPU time."""
    begin, cpu = time.monotonic(), 0
    while process.poll() is None:
        passed = time.monotonic() - begin
        cpu = cpu_of(process) or cpu
        if passed > limit:
            raise MachineFailed(f"not done after {limit} s; it said: {marks(console)[-1:] or 'nothing'}")
        if passed > BOOT_LIMIT and not marks(console):
            raise MachineFailed(f"has not come up after {BOOT_LIMIT} s")
        time.sleep(0.5)
    if process.returncode:
        raise MachineFailed(f"qemu: exit code {process.returncode}: {process.stderr.read().decode(errors='replace')}")
    if "results written" not in marks(console):
        raise MachineFailed("switched itself off without results")
    return cpu


def boot(target, image, directory, limit):
    """Runs the machine to its end and unpacks what it wrote into DIRECTORY. The seconds of CPU time that it took."""
    console, results = directory / "console.txt", image.with_suffix(".results")
    kernel, initrd = disk.kernel_of(target)
    with open(results, "wb") as file:
        file.truncate(RESULTS_SIZE)
    line = command(kernel, initrd, target, image, results, console)
    try:
        # not in the terminal's process group: what ends it is the end of the block, or of this process
        with disk.child(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as process:
            cpu = wait(process, console, limit)
        subprocess.run(["tar", "-xf", str(results), "-C", str(directory)], check=True)
        return cpu
    finally:
        results.unlink()
