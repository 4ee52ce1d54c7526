# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 of the daemon at any instant of a start: the next one knows every program that runs, or none is left."""

import contextlib
import pathlib
import random
import signal
import subprocess

from kenneld import PATIENCE, wait_for


def programs(mark):
    """Host pids of what runs with MARK as its last argument."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == f"sleep\0{mark}\0".encode():
                found.add(int(entry.name))
    return found


def known(daemon):
    return {c["pid"] for c in daemon.containers() if c["state"] == "running"}


def test_killed_while_starting(daemon):
    chance = random.Random(20)
    for k in range(12):
        mark = f"{daemon.process.pid}{k:02d}"
        clients = [daemon.popen("run", "-d", "--", "sleep", mark) for _ in range(3)]
        # Somewhere within the first tens of milliseconds: a start takes about ten.
        try:
            clients[0].wait(chance.random() * 0.04)
        except subprocess.TimeoutExpired:
            pass
        daemon.terminate(signal.SIGKILL, expected=-9)
        for client in clients:
            client.communicate(timeout=PATIENCE)
        daemon.start()
        daemon.ids.update(c["id"] for c in daemon.containers())
        wait_for(lambda: programs(mark) <= known(daemon), "what runs is known")
        for container in daemon.containers():
            daemon.kennel("rm", "-f", container["id"])
        wait_for(lambda: not programs(mark), "nothing runs any more")
        assert not daemon.containers()
    assert not list((daemon.state / "containers").iterdir())
    assert not list((daemon.data / "containers").iterdir())
