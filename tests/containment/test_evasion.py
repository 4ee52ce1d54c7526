# SPDX-License-Identifier: LGPL-2.1-or-later
"""What somebody does who knows the detectors: floods them, waits for the daemon to be down, has others run his code."""

import shutil
import signal
import time

import pytest
from kenneld import PATIENCE, wait_for
from rogues import LOOK, SECOND, Follower, Service, numbers_of
from test_drill import copied, findings

LIBRARY = "f=$(ls /usr/lib/*/libm.so.6 | head -1); cp $f /tmp/own.so; "


@pytest.fixture
def make_service(kennel, scratch, rogue, rogue_root):
    made = []

    def make(*flags, host=False):
        share = scratch / f"share{len(made)}"
        share.mkdir()
        shutil.copy2(rogue, share / "kit")
        shutil.copy2("/bin/busybox", share / "busybox")
        made.append(Service(kennel, share, None if host else rogue_root, flags))
        return made[-1]

    return make


def await_finding(kennel, service, limit=3 * SECOND, **wanted):
    def look():
        for f in findings(kennel, service.container):
            if all(f[k] == v for k, v in wanted.items()):
                return f
        return None

    return wait_for(look, f"{wanted}; there is {[(f['kind'], f['program'], f['pid']) for f in findings(kennel, service.container)]}", limit)


def check_removed(kennel, service, pids):
    kennel.kennel("rogues", "--kill", service.container)
    left = set(pids) & set(numbers_of(service.container))
    assert not left, f"{left} of {pids} live on"
    assert service.ask("ping") == 1


@pytest.mark.parametrize("program", ["the same", "another"])
def test_after_a_flood(kennel, make_service, program):
    """More short lives in a second than can be looked at, and in between one that stays."""
    service = make_service()
    copied(kennel, service, "/share/busybox", "/tmp/flood")
    copied(kennel, service, "/share/kit", "/tmp/evil")
    for _ in range(100):
        service.start("/tmp/flood", "busybox", "true")
    if program == "another":
        pid = service.start("/tmp/evil", "kit", "serve", "/tmp/x")
    else:
        pid = service.start("/tmp/flood", "busybox", "sleep", "1000")
    wait_for(lambda: sum(f["count"] for f in findings(kennel, service.container)) >= 101, "all to be counted", 5 * SECOND)
    time.sleep(1.1 * SECOND)
    check_removed(kennel, service, [pid])


def test_findings_that_push_out_others(kennel, make_service):
    """More different programs than a container keeps findings: the first one, which still runs, can be removed."""
    service = make_service()
    copied(kennel, service, "/share/kit", "/tmp/evil")
    pid = service.start("/tmp/evil", "kit", "serve", "/tmp/x")
    await_finding(kennel, service, program="/tmp/evil")
    script = """i=0; while [ $i -lt 300 ]; do f=/tmp/busybox-$i; cp /share/busybox $f; echo $i >>$f; $f true; i=$((i+1)); [ $((i % 16)) != 0 ] || sleep 1; done"""
    kennel.kennel("exec", service.container, "/bin/sh", "-c", script, timeout=PATIENCE * 4).ok()
    time.sleep(LOOK)
    check_removed(kennel, service, [pid])


def test_many_processes_of_one_program_after_kill_9(kennel, make_service):
    service = make_service()
    copied(kennel, service, "/share/busybox", "/tmp/x")
    pids = [service.start("/tmp/x", "busybox", "sleep", "1000") for _ in range(4)]
    wait_for(lambda: sum(f["count"] for f in findings(kennel, service.container)) >= 4, "all to be counted", 5 * SECOND)
    kennel.terminate(signal.SIGKILL, expected=-signal.SIGKILL)
    kennel.start()
    time.sleep(LOOK)  # which processes there are is not on disk: the next daemon looks
    check_removed(kennel, service, pids)


def test_while_no_daemon_runs(kennel, make_service):
    """What was started meanwhile runs when the next daemon looks."""
    service = make_service()
    copied(kennel, service, "/share/kit", "/tmp/kit")
    time.sleep(3.1)  # what is younger than that is taken for one whose beginning was watched
    kennel.terminate(signal.SIGKILL, expected=-signal.SIGKILL)
    pid = service.start("/tmp/kit", "kit", "serve", "/tmp/backdoor")
    kennel.start()
    await_finding(kennel, service, program="/tmp/kit", pid=pid)


def test_refused_calls_after_a_restart(kennel, make_service):
    """Where nobody keeps the listener the next daemon says that it is blind, of this container and of this detector."""
    service = make_service()
    reasons = {w["detector"]: w["reason"] for w in kennel.inspect(service.container)["watch"]}
    assert reasons["refusedCall"] is None and reasons["foreignProgram"] is None, reasons
    kennel.terminate()
    kennel.start()
    reasons = {w["detector"]: w["reason"] for w in kennel.inspect(service.container)["watch"]}
    assert "not told any more" in reasons["refusedCall"] and reasons["foreignProgram"] is None, reasons


def test_what_a_rogue_has_become(kennel, make_service):
    """It replaces itself by a program of the image's: it is the same process."""
    service = make_service()
    copied(kennel, service, "/share/busybox", "/tmp/x")
    pid = service.start("/tmp/x", "busybox", "sh", "-c", "read -t 1 x <>/dev/zero; sleep 0.5; exec /bin/sleep 1000")
    await_finding(kennel, service, program="/tmp/x")
    time.sleep(1.5)
    check_removed(kennel, service, [pid])


# Executes the file, which by then has another name only: as `unnamed` of rogue.c.
UNNAMED = """import os
fd = os.open("/opt/tool", os.O_RDONLY)
os.link("/opt/tool", "/opt/second")
os.unlink("/opt/tool")
os.execve(fd, ["tool", "1000"], {})"""


def test_a_changed_program_of_the_images_without_its_name(kennel, make_service):
    """A file of the image's that was written to keeps its number; with a second link it has not been deleted either."""
    service = make_service()
    pid = service.shell(
        "cat /bin/rogue >/etc/group; echo >>/etc/group; chmod 755 /etc/group; "
        "exec rogue unnamed /etc/group /tmp/second tool serve /tmp/x"
    )
    await_finding(kennel, service, kind="foreignProgram", pid=pid)


def test_an_own_program_without_its_name(kennel, make_service):
    service = make_service(host=True)
    kennel.kennel("exec", service.container, "/bin/sh", "-c", "mkdir -p /opt; cp /usr/bin/sleep /opt/tool").ok()
    pid = service.start("/usr/bin/python3", "python3", "-c", UNNAMED)
    await_finding(kennel, service, kind="foreignProgram", pid=pid)


def test_preload_of_all(kennel, make_service):
    service = make_service(host=True)
    service.shell(LIBRARY + "echo /tmp/own.so >/etc/ld.so.preload; sleep 0.1; /usr/bin/sleep 1000; :")
    await_finding(kennel, service, kind="preload")


def test_preload_without_a_slash(kennel, make_service):
    """The loader looks in LD_LIBRARY_PATH before it looks where the image's libraries are."""
    service = make_service(host=True)
    service.shell(LIBRARY + "LD_LIBRARY_PATH=/tmp LD_PRELOAD=own.so /usr/bin/sleep 1000; :")
    f = await_finding(kennel, service, kind="preload")
    assert "/tmp/own.so" in f["evidence"], f


def test_by_the_dynamic_linker(kennel, make_service):
    service = make_service(host=True)
    service.shell("cp /usr/bin/sleep /tmp/zz; for l in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*; do [ -e $l ] && exec $l /tmp/zz 1000; done")
    wait_for(lambda: "/tmp/zz" in str(findings(kennel, service.container)), "the linker's program", 3 * SECOND)


def test_a_script_in_memory(kennel, make_service):
    service = make_service(host=True)
    code = "import os; m = os.memfd_create('m', 0); os.write(m, b'sleep 1000\\n'); os.execv('/bin/sh', ['sh', f'/proc/self/fd/{m}'])"
    service.start("/usr/bin/python3", "python3", "-c", code)
    await_finding(kennel, service, kind="foreignScript")


def test_a_listener(kennel, make_service):
    service = make_service("--network", "bridge", host=True)
    code = "import socket, time; s = socket.socket(); s.bind(('', 4444)); s.listen(); time.sleep(1000)"
    pid = service.start("/usr/bin/python3", "python3", "-c", code)
    f = await_finding(kennel, service, kind="listener")
    assert f["pid"] == pid and any(":4444" in s for s in f["sockets"]), f


@pytest.mark.unsanitized
@pytest.mark.parametrize("how", ["bomb", "rabbit"])
def test_a_fork_storm(kennel, make_service, how):
    """Two seconds of it, also where nobody lives long enough to be seen."""
    service = make_service("--pids-limit", "200")
    follower = Follower(kennel, service.container)
    try:
        service.start("/bin/rogue", "rogue", how)
        if how == "rabbit":  # a bomb forks no more once it has reached the limit
            follower.wait(time.monotonic(), 6 * SECOND, kind="forkStorm")
        assert service.ask("ping") == 1
    finally:
        follower.close()


# The image's own programs do what is written in a file, in ways that leave no trace from outside: said in the documentation.
UNSEEN = {
    "standard input": "printf 'sleep 1000\\n' >/tmp/m; exec sh </tmp/m",
    "sourced": "printf 'sleep 1000\\n' >/tmp/m; . /tmp/m",
    "module": "printf 'import time\\ntime.sleep(1000)\\n' >/tmp/m.py; cd /tmp; exec python3 -m m",
    "import": "printf 'import time\\ntime.sleep(1000)\\n' >/tmp/m.py; PYTHONPATH=/tmp exec python3 -c 'import m'",
    "environment": "printf 'sleep 1000\\n' >/tmp/m; BASH_ENV=/tmp/m exec bash -c true",
    "dlopen": LIBRARY + "exec python3 -c 'import ctypes, time; ctypes.CDLL(\"/tmp/own.so\"); time.sleep(1000)'",
}


@pytest.mark.parametrize("how", UNSEEN)
def test_interpreters_that_leave_no_trace(kennel, make_service, how):
    service = make_service(host=True)
    service.shell(UNSEEN[how])
    time.sleep(LOOK)
    if not findings(kennel, service.container):
        pytest.xfail("escapes: the image's own program reads it as data")
