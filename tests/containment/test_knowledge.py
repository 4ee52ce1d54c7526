# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one container can know of another: A reads all that it can, B changes, A reads again.

What differs between the two readings is a leak, or is on the list below, which says why it cannot be helped.
"""

import re

# What the kernel shows to everyone and has no namespace for. Each is a fact of the whole host, not of one container.
UNAVOIDABLE = {
    r"/proc/(loadavg|uptime|stat|meminfo|vmstat|zoneinfo|buddyinfo|pagetypeinfo|slabinfo|interrupts|softirqs|schedstat)": (
        "the load and memory of the whole host; a container's own figures need a file system of their own in /proc"
    ),
    r"/proc/(diskstats|partitions|locks|key-users|timer_list|sched_debug|swaps|cpuinfo|kpage.*|kallsyms|modules|crypto)": "the whole host's",
    r"/proc/pressure/.*": "the whole host's pressure",
    r"/proc/sys/kernel/random/(uuid|boot_id|entropy_avail)": "random by nature, or the host's",
    r"/proc/sys/fs/(dentry-state|file-nr|inode-nr|inode-state|aio-nr|dquot.*|quota/.*)": "counters of the whole kernel",
    r"/proc/sys/kernel/(ns_last_pid|pty/nr|perf_.*)": "the kernel's own counters",
    r"/proc/fs/.*|/proc/driver/.*|/proc/irq/.*|/proc/bus/.*|/proc/tty/.*": "drivers",
    r"/proc/cgroups": "how many cgroups the whole host has, a number without names",
    r"/proc/(self|thread-self|1|\d+)/.*": "the reader's own process",
    r"/proc/net/.*": "a link to the reader's own",
    r"/sys/(devices|block|bus|class|module|kernel|power|firmware|fs|dev|hypervisor)/.*": "the hardware's and the drivers' figures",
}

READ = r"""
import os
markers = os.environ.get("MARKERS", "").encode().split()
for top in ("/proc", "/sys", "/run", "/tmp", "/dev"):
    for base, directories, files in os.walk(top):
        directories[:] = [d for d in directories if not os.path.islink(os.path.join(base, d))]
        if base.count("/") > 7 or base.startswith(("/proc/self/task", "/proc/thread-self", "/proc/1/task")):
            directories[:] = []
        for name in files:
            path = os.path.join(base, name)
            if not os.path.isfile(path):
                continue
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    data = os.read(fd, 65536)
                finally:
                    os.close(fd)
            except OSError as e:
                data = str(e.errno).encode()
            print(path, hash(data))
            if any(marker in data for marker in markers):
                print("NAMES", path)
for path in ("/proc/self/mountinfo", "/proc/self/cgroup", "/proc/self/net/unix", "/proc/self/net/dev"):
    print("TEXT", path, repr(open(path).read()))
"""


def read_all(kennel):
    out = kennel.kennel("exec", "-e", "PYTHONHASHSEED=0", "a", "/usr/bin/python3", "-c", READ).ok()
    files = dict(line.rsplit(" ", 1) for line in out.splitlines() if not line.startswith(("TEXT", "NAMES")))
    return files, out


def test_nothing_of_b_shows_in_a(kennel, scratch):
    marker = "kennel-canary-5d1f"
    kennel.start_container("--name", "a")
    before, _ = read_all(kennel)
    (scratch / marker).mkdir()
    busy = f"import socket, threading, os; s = socket.socket(socket.AF_UNIX); s.bind('\\0{marker}'); open('/tmp/{marker}', 'w').write('x'); os.fork()\nwhile True: pass"
    b = kennel.start_container("--name", marker, "--hostname", marker, "-v", f"{scratch}/{marker}:/{marker}", command=("python3", "-c", busy))
    after, text = read_all(kennel)
    assert marker not in text and b not in text
    pid = kennel.inspect(b)["container"]["pid"]
    changed = {p for p in set(before) | set(after) if before.get(p) != after.get(p)}
    leaks = {p for p in changed if not any(re.fullmatch(pattern, p) for pattern in UNAVOIDABLE)}
    assert leaks == set()
    assert not re.search(rf"/proc/{pid}\b", text)


def test_no_text_that_a_can_read_names_b(kennel, scratch):
    """Every file of /proc and /sys that A can read, searched for B's name, id and host pid's directory."""
    marker = "kennelcanary7be2"
    a = kennel.start_container("--name", "a")
    b = kennel.start_container("--name", marker, "--hostname", marker)
    environment = ("-e", f"MARKERS={marker} {b}")
    out = kennel.kennel("exec", *environment, a, "/usr/bin/python3", "-c", READ).ok()
    named = {line.split()[1] for line in out.splitlines() if line.startswith("NAMES")}
    assert {path for path in named if not path.endswith("/environ")} == set()
    assert any(path.endswith("/environ") for path in named), "the search finds nothing, not even what is there"


def test_ids_of_two_containers_never_overlap_while_they_live(kennel):
    bases = [kennel.inspect(kennel.start_container())["idBase"] for _ in range(6)]
    bases.sort()
    assert all(b - a >= 65536 for a, b in zip(bases, bases[1:]))
