# SPDX-License-Identifier: LGPL-2.1-or-later
"""What nobody should send: each is answered by the error that names it, and the daemon lives on."""

import json
import os
import subprocess

import pytest
from kenneld import KENNELD, PATIENCE, Kenneld, controllers
from varlink import Closed, VarlinkError

OK = {"command": ["true"]}


@pytest.fixture(autouse=True)
def alive(kennel):
    pid = kennel.process.pid
    yield
    assert kennel.process.pid == pid and kennel.process.poll() is None
    assert isinstance(kennel.containers(), list)


INVALID = {
    "unknown field": ({**OK, "nonsense": 1}, "nonsense"),
    "unknown field in a struct": ({**OK, "limits": {"memroy": 1}}, "limits.memroy"),
    "unknown field in an array": ({**OK, "tmpfs": [{"path": "/a"}, {"path": "/b", "x": 1}]}, "tmpfs[1].x"),
    "wrong type": ({**OK, "name": 12}, "name"),
    "wrong type in an array": ({"command": ["true", 1]}, "command[1]"),
    "wrong type of an array": ({"command": "true"}, "command"),
    "number for a boolean": ({**OK, "init": 1}, "init"),
    "fraction for an integer": ({**OK, "limits": {"pids": 1.5}}, "limits.pids"),
    "null in an array": ({"command": ["true", None]}, "command[1]"),
    "missing field": ({}, "command"),
    "missing field that is null": ({"command": None}, "command"),
    "missing field in a struct": ({**OK, "tmpfs": [{"size": 4096}]}, "tmpfs[0].path"),
    "negative memory": ({**OK, "limits": {"memory": -1}}, "limits.memory"),
    "zero memory": ({**OK, "limits": {"memory": 0}}, "limits.memory"),
    "no pids": ({**OK, "limits": {"pids": 0}}, "limits.pids"),
    "hardly any CPU": ({**OK, "limits": {"cpuQuotaPerSecUsec": 1}}, "limits.cpuQuotaPerSecUsec"),
    "empty argv": ({"command": []}, "command"),
    "empty program": ({"command": [""]}, "command[0]"),
    "too many arguments": ({"command": ["true"] * 5000}, "command"),
    "10,000 environment entries": ({**OK, "env": [f"A{i}=1" for i in range(10000)]}, "env"),
    "environment without =": ({**OK, "env": ["A=1", "B"]}, "env[1]"),
    "environment without a name": ({**OK, "env": ["=1"]}, "env[0]"),
    "name with a slash": ({**OK, "name": "a/b"}, "name"),
    "name with dots alone": ({**OK, "name": ".."}, "name"),
    "name that is empty": ({**OK, "name": ""}, "name"),
    "name that is too long": ({**OK, "name": "a" * 64}, "name"),
    "name with a newline": ({**OK, "name": "a\nb"}, "name"),
    "hostname with a slash": ({**OK, "hostname": "a/b"}, "hostname"),
    "hostname that is too long": ({**OK, "hostname": "a" * 65}, "hostname"),
    "relative working directory": ({**OK, "workingDirectory": "usr"}, "workingDirectory"),
    "working directory that leads out": ({**OK, "workingDirectory": "/proc/self/fd/3"}, "workingDirectory"),
    "working directory with ..": ({**OK, "workingDirectory": "/usr/../../.."}, "workingDirectory"),
    "working directory that is a file": ({**OK, "workingDirectory": "/etc/passwd"}, "workingDirectory"),
    "working directory that is missing": ({**OK, "workingDirectory": "/no/such"}, "workingDirectory"),
    "user with junk": ({**OK, "user": "0x0"}, "user"),
    "user that is too large": ({**OK, "user": "65536"}, "user"),
    "user that is unknown": ({**OK, "user": "nobody-of-this-name"}, "user"),
    "relative volume target": ({**OK, "volumes": [{"sourcePath": "/tmp", "target": "x"}]}, "volumes[0].target"),
    "volume on the root": ({**OK, "volumes": [{"sourcePath": "/tmp", "target": "/"}]}, "volumes[0].target"),
    "volume target with ..": ({**OK, "volumes": [{"sourcePath": "/tmp", "target": "/a/../../b"}]}, "volumes[0].target"),
    "volume on /proc": ({**OK, "volumes": [{"sourcePath": "/tmp", "target": "/proc"}]}, "volumes[0].target"),
    "volume below /sys": ({**OK, "volumes": [{"sourcePath": "/tmp", "target": "/sys/fs"}]}, "volumes[0].target"),
    "volume without a source": ({**OK, "volumes": [{"target": "/x"}]}, "volumes[0].source"),
    "volume source that is missing": (
        {**OK, "volumes": [{"sourcePath": "/no/such", "target": "/x"}]},
        "volumes[0].sourcePath",
    ),
    "too many mounts": ({**OK, "tmpfs": [{"path": f"/m{i}"} for i in range(33)]}, "tmpfs"),
    "tmpfs that is too small": ({**OK, "tmpfs": [{"path": "/m", "size": 1}]}, "tmpfs[0].size"),
    "tmpfs with a silly mode": ({**OK, "tmpfs": [{"path": "/m", "mode": 99999999}]}, "tmpfs[0].mode"),
    "capability that does not exist": ({**OK, "capAdd": ["CHOWN", "CAP_NOSUCH"]}, "capAdd[1]"),
    "ulimit that does not exist": ({**OK, "ulimits": [{"name": "x", "soft": 1, "hard": 1}]}, "ulimits[0].name"),
    "ulimit soft above hard": ({**OK, "ulimits": [{"name": "nofile", "soft": 9, "hard": 1}]}, "ulimits[0]"),
    "ulimit above the daemon's": ({**OK, "ulimits": [{"name": "nofile", "soft": 1, "hard": 2**40}]}, "ulimits[0].hard"),
    "network that does not exist": ({**OK, "network": "moon"}, "network"),
    "image that does not exist": ({**OK, "image": "nosuch"}, "image"),
    "image and root": ({**OK, "image": "host", "rootfsPath": "/"}, "image"),
    "root that is a file": ({**OK, "rootfsPath": "/etc/passwd"}, "rootfsPath"),
    "root that is missing": ({**OK, "rootfsPath": "/no/such"}, "rootfsPath"),
    "root that is relative": ({**OK, "rootfsPath": "tmp"}, "rootfsPath"),
    "profile with broken JSON": ({**OK, "seccompProfile": "{"}, "seccompProfile"),
    "profile that is a list": ({**OK, "seccompProfile": "[]"}, "seccompProfile"),
    "profile with an unknown system call": (
        {
            **OK,
            "seccompProfile": json.dumps(
                {
                    "defaultAction": "SCMP_ACT_ERRNO",
                    "syscalls": [{"names": ["openat", "opne"], "action": "SCMP_ACT_ALLOW"}],
                }
            ),
        },
        "seccompProfile",
    ),
    "profile with an unknown action": ({**OK, "seccompProfile": '{"defaultAction":"SCMP_ACT_MAYBE"}'}, "seccompProfile"),
    "apparmor profile that is empty": ({**OK, "apparmorProfile": ""}, "apparmorProfile"),
    "apparmor profile with a newline": ({**OK, "apparmorProfile": "a\nchangeprofile b"}, "apparmorProfile"),
    "apparmor profiles stacked": ({**OK, "apparmorProfile": "a//&b"}, "apparmorProfile"),
    "apparmor profile of a namespace": ({**OK, "apparmorProfile": ":root:unconfined"}, "apparmorProfile"),
    "apparmor profile of a container": ({**OK, "apparmorProfile": "kennel-1879048192"}, "apparmorProfile"),
    "apparmor profile that is too long": ({**OK, "apparmorProfile": "a" * 256}, "apparmorProfile"),
    "label that is a string": ({**OK, "label": "disable"}, "label"),
    "label of one category": ({**OK, "label": {"level": "s0:c1"}}, "label.level"),
    "label of the highest sensitivity": ({**OK, "label": {"level": "s0-s0:c0.c1023"}}, "label.level"),
    "label with a category above 1023": ({**OK, "label": {"level": "s0:c1,c1024"}}, "label.level"),
    "label with a type that is a context": ({**OK, "label": {"type": "u:r:t:s0"}}, "label.type"),
    "label disabled and given": ({**OK, "label": {"disable": True, "type": "a_t"}}, "label.disable"),
    "control that does not exist": ({**OK, "controls": [{"control": "moon", "mode": "required"}]}, "controls[0].control"),
    "control mode that does not exist": (
        {**OK, "controls": [{"control": "seccomp", "mode": "best-effort"}]},
        "controls[0].mode",
    ),
    "control without a mode": ({**OK, "controls": [{"control": "seccomp"}]}, "controls[0].mode"),
    "control named twice": (
        {**OK, "controls": [{"control": "seccomp", "mode": m} for m in ("required", "bestEffort")]},
        "controls[1].control",
    ),
    "too many controls": ({**OK, "controls": [{"control": "seccomp", "mode": "required"}] * 8}, "controls"),
    "control required and declined": (
        {**OK, "seccompProfile": "unconfined", "controls": [{"control": "seccomp", "mode": "required"}]},
        "seccompProfile",
    ),
    "relabel that does not exist": (
        {**OK, "volumes": [{"sourcePath": "/tmp", "target": "/x", "relabel": "Z"}]},
        "volumes[0].relabel",
    ),
    "terminal of no size": ({**OK, "terminal": {"rows": 0, "columns": 80}}, "terminal.rows"),
    "terminal of a huge size": ({**OK, "terminal": {"rows": 24, "columns": 65536}}, "terminal.columns"),
    "descriptor that was not sent": ({**OK, "stdout": 0}, "stdout"),
    "negative descriptor": ({**OK, "stdin": -1}, "stdin"),
}


@pytest.mark.parametrize("what", INVALID)
def test_invalid_spec_names_the_field(kennel, what):
    parameters, field = INVALID[what]
    with kennel.connect() as c:
        with pytest.raises(VarlinkError) as e:
            c.call("Run", **parameters)
        assert e.value.short == "InvalidSpec", e.value
        assert e.value.parameters["field"].startswith(field), e.value
        assert len(e.value.parameters["reason"]) > 8
        assert c.call("List") == {"containers": []}, "the connection goes on and nothing is left"


def test_unknown_system_call_is_named(kennel):
    parameters, _ = INVALID["profile with an unknown system call"]
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", **parameters)
    assert "opne" in e.value.parameters["reason"]


def test_values_are_named(kennel):
    for parameters, value in (({**OK, "limits": {"memory": -12345}}, "-12345"), ({**OK, "name": "a/b"}, "a/b")):
        with pytest.raises(VarlinkError) as e:
            kennel.call("Run", **parameters)
        assert value in e.value.parameters["reason"]


MALFORMED = {
    "garbage": b"\xde\xad\xbe\xef" * 100,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an empty message": b"",
    "an array": b"[]",
    "a string": b'"io.kennel.List"',
    "no method": b'{"parameters":{}}',
    "a method that is a number": b'{"method":1}',
    "a method without an interface": b'{"method":"List"}',
    "parameters that are a list": b'{"method":"io.kennel.List","parameters":[]}',
    "more that is a string": b'{"method":"io.kennel.List","more":"yes"}',
    "a key twice": b'{"method":"io.kennel.List","method":"io.kennel.Info"}',
    "a parameter twice": b'{"method":"io.kennel.Wait","parameters":{"container":"a","container":"b"}}',
    "NaN": b'{"method":"io.kennel.List","parameters":{"x":NaN}}',
    "Infinity": b'{"method":"io.kennel.List","parameters":{"x":-Infinity}}',
    "single quotes": b"{'method':'io.kennel.List'}",
    "a comment": b'{"method":"io.kennel.List"}//',
    "a trailing comma": b'{"method":"io.kennel.List",}',
    "a leading zero": b'{"method":"io.kennel.List","parameters":{"x":012}}',
    "a huge number": b'{"method":"io.kennel.Run","parameters":{"command":["true"],"limits":{"memory":99999999999999999999}}}',
    "bytes after the object": b'{"method":"io.kennel.List"}{}',
    "not UTF-8": b'{"method":"io.kennel.Wait","parameters":{"container":"\xff\xfe"}}',
    "a lone surrogate": b'{"method":"io.kennel.Wait","parameters":{"container":"\\ud800"}}',
    "a NUL in a string": b'{"method":"io.kennel.Run","parameters":{"command":["true\\u0000x"]}}',
    "a control character": b'{"method":"io.kennel.Wait","parameters":{"container":"\x01"}}',
    "depth 1,000": b'{"method":"io.kennel.List","parameters":{"x":' + b"[" * 1000 + b"]" * 1000 + b"}}",
    "depth 1,000 of objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "very many values": b'{"method":"io.kennel.List","parameters":{"x":[' + b"0," * 200000 + b"0]}}",
    "a very long key": b'{"' + b"k" * 5000 + b'":1}',
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_messages(kennel, what):
    with kennel.connect() as c:
        with pytest.raises(VarlinkError) as e:
            c.send_bytes(MALFORMED[what] + b"\0")
            c.receive()
        expected = {"MalformedMessage", "InvalidSpec", "InterfaceNotFound", "InvalidParameter"}
        assert e.value.short in expected, e.value
        if e.value.short == "MalformedMessage":
            assert e.value.parameters["reason"]
            with pytest.raises((Closed, ConnectionError)):
                c.call("List")


def test_20_mib_in_one_message(kennel):
    with kennel.connect() as c, pytest.raises((VarlinkError, Closed, ConnectionError)) as e:
        for _ in range(20):
            c.send_bytes(b"x" * 2**20)
        c.send_bytes(b"\0")
        c.receive()
    if e.type is VarlinkError:
        assert e.value.short == "MalformedMessage"


def test_20_mib_answer_when_it_is_read(kennel):
    """A peer that stops at the bound and listens is told which bound it was."""
    with kennel.connect() as c, pytest.raises(VarlinkError) as e:
        c.send_bytes(b'{"method":"' + b"x" * (2**20 + 16))
        c.receive()
    assert e.value.short == "MalformedMessage"


def test_more_descriptors_than_named(kennel):
    r, w = os.pipe()
    for fds in ([r, w], [r] * 20):
        with kennel.connect() as c, pytest.raises(VarlinkError) as e:
            c.call("Run", fds, **OK, stdin=0)
        assert e.value.short in ("InvalidSpec", "MalformedMessage")
    with kennel.connect() as c, pytest.raises(VarlinkError):
        c.call("List", [r])
    for fd in (r, w):
        os.close(fd)


def test_more_descriptors_than_any_message_may_bring(kennel):
    r, w = os.pipe()
    with kennel.connect() as c, pytest.raises((VarlinkError, Closed, ConnectionError)):
        c.call("Run", [r] * 200, **OK, stdin=0)
    for fd in (r, w):
        os.close(fd)


def test_one_descriptor_named_twice(kennel):
    r, w = os.pipe()
    with kennel.connect() as c, pytest.raises(VarlinkError) as e:
        c.call("Run", [w], **OK, stdout=0, stderr=0)
    assert e.value.short == "InvalidSpec" and e.value.parameters["field"] in ("stdout", "stderr")
    for fd in (r, w):
        os.close(fd)


def test_descriptors_of_the_wrong_kind(kennel):
    r, w = os.pipe()
    directory = os.open("/tmp", os.O_RDONLY)
    file = os.open("/etc/passwd", os.O_RDONLY)
    for fd, parameters, field in (
        (r, {"rootfs": 0}, "rootfs"),
        (file, {"rootfs": 0}, "rootfs"),
        (r, {"volumes": [{"source": 0, "target": "/x"}]}, "volumes[0].source"),
    ):
        with kennel.connect() as c, pytest.raises(VarlinkError) as e:
            c.call("Run", [fd], **OK, **parameters)
        assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == field, e.value
    for fd in (r, w, directory, file):
        os.close(fd)


def test_two_containers_of_one_name(kennel):
    kennel.start_container("--name", "same")
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", **OK, name="same")
    assert (e.value.short, e.value.parameters) == ("ContainerExists", {"name": "same"})


@pytest.mark.parametrize(
    "method,parameters,field",
    [
        ("Stats", {"intervalUsec": 1}, "intervalUsec"),
        ("Stats", {"intervalUsec": -1}, "intervalUsec"),
        ("Kill", {"signal": "NOSUCH"}, "signal"),
        ("Kill", {"signal": "0"}, "signal"),
        ("Kill", {"signal": "999"}, "signal"),
        ("Kill", {"pid": -1}, "pid"),
        ("Kill", {"pid": 0}, "pid"),
        ("Kill", {"pid": 1, "hostPid": 1}, "hostPid"),
        ("Stop", {"timeoutUsec": -1}, "timeoutUsec"),
        ("Exec", {"command": []}, "command"),
        ("Exec", {"command": ["x"], "workingDirectory": "x"}, "workingDirectory"),
        ("Exec", {"command": ["true"], "user": "1junk"}, "user"),
    ],
)
def test_other_methods(kennel, method, parameters, field):
    container = kennel.start_container()
    if method != "Stats":
        parameters = {"container": container, **parameters}
    with pytest.raises(VarlinkError) as e:
        kennel.call(method, **parameters)
    assert e.value.short == "InvalidSpec" and e.value.parameters["field"] in (field, "pid"), e.value


DEVICE = {"device": "250:77", "readBps": 4096}

# What no Run and no Update takes: limits, the field that is named, and what the reason says of the range.
LIMITS = {
    **{
        f"{name} of {value}": ({name: value}, f"limits.{name}", least)
        for name, least in {
            "memory": "4194304",
            "memorySwap": "4194304",
            "memoryHigh": "4194304",
            "cpuQuotaPerSecUsec": "10000",
            "cpuWeight": "1 to 10000",
            "pids": "1 to 4194304",
            "ioWeight": "1 to 10000",
            "disk": "1048576",
            "inodes": "16",
        }.items()
        for value in (0, -1, -(2**63))
    },
    "memory below its least": ({"memory": 4194303}, "limits.memory", "4194304"),
    "memorySwap below its least": ({"memorySwap": 4194303}, "limits.memorySwap", "4194304"),
    "memoryHigh below its least": ({"memoryHigh": 4194303}, "limits.memoryHigh", "4194304"),
    "cpuQuotaPerSecUsec below its least": ({"cpuQuotaPerSecUsec": 9999}, "limits.cpuQuotaPerSecUsec", "10000"),
    "cpuWeight above its most": ({"cpuWeight": 10001}, "limits.cpuWeight", "1 to 10000"),
    "pids above the kernel's most": ({"pids": 4194305}, "limits.pids", "1 to 4194304"),
    "ioWeight above its most": ({"ioWeight": 10001}, "limits.ioWeight", "1 to 10000"),
    "disk below its least": ({"disk": 1048575}, "limits.disk", "1048576"),
    "inodes below its least": ({"inodes": 15}, "limits.inodes", "16"),
    "memory above the host's": ({"memory": 2**62}, "limits.memory", "4194304 to "),
    "memorySwap above the host's": ({"memory": 2**26, "memorySwap": 2**62}, "limits.memorySwap", "4194304 to "),
    "memorySwap below memory": ({"memory": 2**26, "memorySwap": 2**25}, "limits.memorySwap", "less than limits.memory"),
    "memorySwap alone": ({"memorySwap": 2**26, "unlimited": ["memory"]}, "limits.memorySwap", "limits.memory"),
    "cpuQuotaPerSecUsec above the host's": (
        {"cpuQuotaPerSecUsec": 2**62},
        "limits.cpuQuotaPerSecUsec",
        f"10000 to {os.sysconf('SC_NPROCESSORS_ONLN') * 1000000}",
    ),
    "cpusetCpus that is empty": ({"cpusetCpus": ""}, "limits.cpusetCpus", "a list of CPUs"),
    "cpusetCpus that is no list": ({"cpusetCpus": "0;1"}, "limits.cpusetCpus", "a list of CPUs"),
    "cpusetCpus backwards": ({"cpusetCpus": "1-0"}, "limits.cpusetCpus", "a list of CPUs"),
    "cpusetCpus that is negative": ({"cpusetCpus": "-1"}, "limits.cpusetCpus", "a list of CPUs"),
    "cpusetCpus that the host has not": ({"cpusetCpus": "0,8000"}, "limits.cpusetCpus", "CPU 8000"),
    "cpusetCpus that no host has": ({"cpusetCpus": "8192"}, "limits.cpusetCpus", "8191"),
    "disk larger than the disk": ({"disk": 2**62}, "limits.disk", ""),
    "netRateIn without a bridge": ({"netRateIn": 8000}, "limits.netRateIn", "bridge"),
    "netRateOut without a bridge": ({"netRateOut": 8000}, "limits.netRateOut", "bridge"),
    "device by path": ({"ioDevices": [{**DEVICE, "device": "/dev/vda"}]}, "limits.ioDevices[0].device", "MAJOR:MINOR"),
    "device without a minor": ({"ioDevices": [{**DEVICE, "device": "8"}]}, "limits.ioDevices[0].device", "MAJOR:MINOR"),
    "device with junk": ({"ioDevices": [{**DEVICE, "device": "8:0x"}]}, "limits.ioDevices[0].device", "MAJOR:MINOR"),
    "device that is not there": ({"ioDevices": [DEVICE]}, "limits.ioDevices[0].device", "250:77"),
    "device named twice": ({"ioDevices": [DEVICE, DEVICE]}, "limits.ioDevices[1].device", "before"),
    "device without a rate": ({"ioDevices": [{"device": "8:0"}]}, "limits.ioDevices[0]", "readBps"),
    "device with readBps of 0": ({"ioDevices": [{**DEVICE, "readBps": 0}]}, "limits.ioDevices[0].readBps", "4096"),
    "device with writeBps of -1": ({"ioDevices": [{**DEVICE, "writeBps": -1}]}, "limits.ioDevices[0].writeBps", "4096"),
    "device with readIops of 0": ({"ioDevices": [{**DEVICE, "readIops": 0}]}, "limits.ioDevices[0].readIops", "2 to"),
    "device with writeIops of 2^32": (
        {"ioDevices": [{**DEVICE, "writeIops": 2**32}]},
        "limits.ioDevices[0].writeIops",
        "2 to 4294967294",
    ),
    "too many devices": (
        {"ioDevices": [{**DEVICE, "device": f"250:{i}"} for i in range(17)]},
        "limits.ioDevices",
        "16",
    ),
    "unlimited nonsense": ({"unlimited": ["pids", "x"]}, "limits.unlimited[1]", '"x"'),
    "unlimited twice": ({"unlimited": ["pids", "pids"]}, "limits.unlimited[1]", "before"),
    "unlimited with a value": ({"pids": 5, "unlimited": ["pids"]}, "limits.unlimited[0]", "at the same time"),
}


def refused_limits(kennel, method, parameters, field, words):
    with kennel.connect() as c:
        with pytest.raises(VarlinkError) as e:
            c.call(method, **parameters)
        assert e.value.short == "InvalidSpec", e.value
        assert e.value.parameters["field"] == field, e.value
        assert words in e.value.parameters["reason"], e.value
        return c.call("List")["containers"]


@pytest.mark.parametrize("what", LIMITS)
def test_run_refuses_limits(kennel, what):
    limits, field, words = LIMITS[what]
    assert refused_limits(kennel, "Run", {**OK, "limits": limits}, field, words) == []


def test_update_refuses_limits(kennel):
    container = kennel.start_container("-m", "64M", "--pids-limit", "50")
    before = kennel.inspect(container)["limits"]
    assert before["memory"] == 2**26 and before["pids"] == 50
    for limits, field, words in LIMITS.values():
        # one that would do, to see that it is all or nothing
        with_another = limits if "pids" in limits or "unlimited" in limits else {**limits, "pids": 40}
        left = refused_limits(kennel, "Update", {"container": container, "limits": with_another}, field, words)
        assert [c["state"] for c in left] == ["running"]
    assert kennel.inspect(container)["limits"] == before
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container=container)
    assert (e.value.short, e.value.parameters["field"]) == ("InvalidSpec", "limits")


def test_update_of_what_does_not_run(kennel):
    container = kennel.start_container(command=("true",))
    kennel.wait_exited(container)
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container=container, limits={"pids": 5})
    assert e.value.short == "NotRunning", e.value


PORT = {"host": 20000, "container": 80}
BRIDGE = {**OK, "network": "bridge"}

PORTS = {
    "ports without a bridge": ({**OK, "ports": [PORT]}, "ports", "bridge"),
    "ports with the host's network": ({**OK, "network": "host", "ports": [PORT]}, "ports", "bridge"),
    "host port 0": ({**BRIDGE, "ports": [{**PORT, "host": 0}]}, "ports[0].host", "1 to 65535"),
    "host port 65536": ({**BRIDGE, "ports": [{**PORT, "host": 65536}]}, "ports[0].host", "1 to 65535"),
    "container port 0": ({**BRIDGE, "ports": [{**PORT, "container": 0}]}, "ports[0].container", "1 to 65535"),
    "protocol sctp": ({**BRIDGE, "ports": [{**PORT, "protocol": "sctp"}]}, "ports[0].protocol", ""),
    "address of three parts": ({**BRIDGE, "ports": [{**PORT, "hostAddress": "127.0.1"}]}, "ports[0].hostAddress", "IPv4"),
    "address 0.0.0.0": ({**BRIDGE, "ports": [{**PORT, "hostAddress": "0.0.0.0"}]}, "ports[0].hostAddress", "null"),
    "address of IPv6": ({**BRIDGE, "ports": [{**PORT, "hostAddress": "::1"}]}, "ports[0].hostAddress", "IPv4"),
    "a port twice": ({**BRIDGE, "ports": [PORT, PORT]}, "ports[1].host", "ports[0]"),
    "a port of all and of one": (
        {**BRIDGE, "ports": [PORT, {**PORT, "hostAddress": "127.0.0.1"}]},
        "ports[1].host",
        "ports[0]",
    ),
    "too many ports": ({**BRIDGE, "ports": [{**PORT, "host": 20000 + i} for i in range(65)]}, "ports", "64"),
    "netRateIn of 0": ({**BRIDGE, "limits": {"netRateIn": 0}}, "limits.netRateIn", "8000 to"),
    "netRateOut of -1": ({**BRIDGE, "limits": {"netRateOut": -1}}, "limits.netRateOut", "8000 to"),
    "netRateIn below its least": ({**BRIDGE, "limits": {"netRateIn": 7999}}, "limits.netRateIn", "8000 to"),
    "netRateOut above its most": ({**BRIDGE, "limits": {"netRateOut": 10**13}}, "limits.netRateOut", "8000 to"),
    "disk without a writable layer": ({**OK, "readOnly": True, "limits": {"disk": 2**20}}, "limits.disk", "readOnly"),
    "tmpfs with one inode": ({**OK, "tmpfs": [{"path": "/m", "inodes": 1}]}, "tmpfs[0].inodes", "2 to"),
    "tmpfs with no inodes": ({**OK, "tmpfs": [{"path": "/m", "inodes": 0}]}, "tmpfs[0].inodes", "2 to"),
}


@pytest.mark.parametrize("what", PORTS)
def test_run_refuses_networks(kennel, what):
    parameters, field, words = PORTS[what]
    assert refused_limits(kennel, "Run", parameters, field, words) == []


CEILINGS = {
    "more memory than the host's": ("tenant-memory-max = 1024T", "tenant-memory-max", "4194304 to "),
    "more swap than the host's": (
        "tenant-memory-max = 1G\ntenant-memory-swap-max = 1024T",
        "tenant-memory-swap-max",
        "4194304 to ",
    ),
    "more CPUs than the host's": ("tenant-cpus-max = 8192", "tenant-cpus-max", "10000 to "),
    "a CPU that is not there": ("tenant-cpuset = 0,8000", "tenant-cpuset", "CPU 8000"),
    "a disk that is not there": ("tenant-device-read-bps = 250:77:1M", "tenant-device-read-bps", "250:77"),
    "a disk larger than the host's": ("tenant-disk-max = 500000T", "tenant-disk-max", "bytes"),
    "two that contradict": ("tenant-memory-max = 2G\ntenant-memory-swap-max = 1G", "tenant-memory-swap-max", "less"),
}


@pytest.mark.parametrize("what", CEILINGS)
def test_ceilings_that_the_host_cannot_keep(scratch, what):
    """The daemon does not start, and names the key."""
    text, key, words = CEILINGS[what]
    d = Kenneld(config=text, base=scratch)
    out = subprocess.run(d.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert out.returncode == 1, out
    assert key in out.stderr and words in out.stderr, out.stderr
    assert "READY" not in out.stderr


@pytest.mark.skipif("memory" not in controllers(), reason="memory.high is missing on cgroup v1 alone: see /sys/fs/cgroup")
def test_a_ceiling_whose_control_is_missing(scratch):
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    base = scratch / "daemon"
    base.mkdir()
    d = Kenneld(config="tenant-memory-high-max = 64M", base=base)
    if unified:
        d.start().stop()
        return
    out = subprocess.run(d.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert out.returncode == 1 and "tenant-memory-high-max" in out.stderr and "cgroup v1" in out.stderr, out


@pytest.mark.parametrize("method", ["Inspect", "Processes", "Wait", "Kill", "Stop", "Pause", "Resume", "Detach", "Remove", "Verify", "Update"])
def test_no_such_container(kennel, method):
    more = {"limits": {}} if method == "Update" else {}
    for name in ("nothing-here", "f" * 32, "../../etc", "a\nb", "\u202e"):
        with pytest.raises(VarlinkError) as e:
            kennel.call(method, container=name, **more)
        assert e.value.short in ("NoSuchContainer", "InvalidSpec"), e.value


def test_the_client_names_what_was_wrong(kennel):
    for flags, words in (
        (("-m", "12x"), ("-m", "12x")),
        (("--cpus", "half"), ("cpus", "half")),
        (("--pids-limit", "-5"), ("-5",)),
        (("--name", "a/b"), ("name", "a/b")),
        (("--cap-add", "NOSUCH"), ("NOSUCH",)),
        (("-v", "/tmp"), ("/tmp",)),
        (("--security-opt", "seccomp=/etc/passwd"), ("seccomp",)),
        (("--ulimit", "nofile"), ("nofile",)),
        (("--no-such-flag",), ("--no-such-flag",)),
    ):
        result = kennel.run(*flags, "--", "true")
        assert result.code == 125, (flags, result)
        assert all(word in result.stderr for word in words), (flags, result)
