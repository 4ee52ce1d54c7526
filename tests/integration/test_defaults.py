# SPDX-License-Identifier: LGPL-2.1-or-later
"""What containers get that nobody asked anything for: the configuration's default for the writable layer, and ceilings."""

import grp
import os

import pytest
from kenneld import INTERFACE, PATIENCE, controllers
from varlink import Connection, VarlinkError


MIB = 2**20
TENANT = 65531
SLEEP = {"command": ["sleep", "infinity"]}

CONFIG = """
tenant-group = users
disk-default = 32M
tenant-memory-max = 64M
tenant-memory-swap-max = 96M
tenant-cpu-weight-max = 50
tenant-pids-max = 2000
tenant-cpuset = 0
tenant-disk-max = {disk}
tenant-inodes-max = 4000
"""


@pytest.fixture(params=["16M", "64M"])
def strict(request, make_daemon):
    return make_daemon(config=CONFIG.format(disk=request.param))


def start(daemon, **parameters):
    container = daemon.call("Run", **{**SLEEP, **parameters})["container"]["id"]
    daemon.ids.add(container)
    return daemon.inspect(container)


def as_tenant(daemon, method, **parameters):
    """One call of a process that is not root. Its answer, or the error's name and field."""
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([grp.getgrnam("users").gr_gid])
            os.setgid(TENANT)
            os.setuid(TENANT)
            with Connection(daemon.socket, INTERFACE, PATIENCE) as c:
                answer = c.call(method, **parameters)
                text = (answer.get("container") or {}).get("id", "done")
        except VarlinkError as e:
            text = f"{e.short} {e.parameters.get('field')}"
        except BaseException as e:  # pylint: disable=broad-exception-caught
            text = repr(e)
        os.write(w, text.encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text


def holds_disks(daemon):
    return daemon.call("Info")["storage"] != "directory"


def test_disk_default(make_daemon):
    daemon = make_daemon(config="disk-default = 32M")
    if not holds_disks(daemon):
        pytest.skip("this host holds no writable layer to a size: see storage in `kennel info`")
    assert start(daemon)["limits"]["disk"] == 32 * MIB
    assert start(daemon, limits={"memory": 64 * MIB})["limits"]["disk"] == 32 * MIB
    assert start(daemon, limits={"disk": 48 * MIB})["limits"]["disk"] == 48 * MIB
    assert start(daemon, limits={"unlimited": ["disk"]})["limits"]["disk"] is None
    without = start(daemon, readOnly=True)
    assert without["limits"]["disk"] is None and without["storage"] is None


def test_no_disk_default(make_daemon):
    assert start(make_daemon(config="disk-default = none"))["limits"]["disk"] is None


def test_a_default_beyond_the_disk_gives_way(make_daemon):
    """Nobody asked for it, so that it must not keep a container from a small host."""
    daemon = make_daemon(config="disk-default = 500000T")
    size = os.statvfs(daemon.data)
    if holds_disks(daemon):
        assert start(daemon)["limits"]["disk"] == size.f_blocks * size.f_frsize


@pytest.mark.skipif(
    not {"memory", "cpu", "pids", "cpuset"} <= controllers(), reason="a controller is missing: see /sys/fs/cgroup"
)
def test_ceilings_are_what_nobody_asked_for(strict):
    if not holds_disks(strict):
        pytest.skip("this host holds no writable layer to a size: see storage in `kennel info`")
    ceilings = strict.call("Info")["tenantLimits"]
    assert ceilings["memory"] == 64 * MIB and ceilings["cpusetCpus"] == "0"
    container = as_tenant(strict, "Run", **SLEEP)
    limits = strict.inspect(container)["limits"]
    expected = {
        "memory": 64 * MIB,
        "memorySwap": 64 * MIB,  # no swap but for those who ask for it
        "cpuWeight": 50,
        "pids": 1024,  # the default is less than the ceiling
        "cpusetCpus": "0",
        "disk": min(ceilings["disk"], 32 * MIB),
        "inodes": 4000,
        "netRateIn": None,
        "ioDevices": None,
    }
    assert {k: limits[k] for k in expected} == expected
    assert start(strict)["limits"]["memory"] is None, "root is not bound"

    refused = [
        ({"memory": 65 * MIB}, "memory"),
        ({"unlimited": ["memory"]}, "memory"),
        ({"memorySwap": 97 * MIB}, "memorySwap"),
        ({"cpuWeight": 51}, "cpuWeight"),
        ({"pids": 2001}, "pids"),
        ({"unlimited": ["cpusetCpus"]}, "cpusetCpus"),
        ({"inodes": 4001}, "inodes"),
        ({"disk": ceilings["disk"] + 1}, "disk"),
    ]
    for given, field in refused:
        said = f"InvalidSpec limits.{field}"
        assert as_tenant(strict, "Run", **SLEEP, limits=given) == said
        assert as_tenant(strict, "Update", container=container, limits=given) == said
    assert strict.inspect(container)["limits"] == limits
    assert as_tenant(strict, "Update", container=container, limits={"memory": 32 * MIB, "pids": 2000}) == "done"
    # root may give more, and that stays when its owner changes something else
    reply = strict.call("Update", container=container, limits={"memory": 128 * MIB})["limits"]
    assert reply == strict.inspect(container)["limits"] and reply["memory"] == 128 * MIB
    assert as_tenant(strict, "Update", container=container, limits={"pids": 20}) == "done"
    after = strict.inspect(container)["limits"]
    assert (after["memory"], after["pids"]) == (128 * MIB, 20)
    assert as_tenant(strict, "Remove", container=container, force=True) == "done"


def test_ports_below_1024_are_roots(strict):
    spec = {**SLEEP, "network": "bridge", "ports": [{"host": 80, "container": 80}]}
    assert as_tenant(strict, "Run", **spec) == "InvalidSpec ports[0].host"
    assert strict.containers() == []
