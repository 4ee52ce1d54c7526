# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface file, the daemon and the client say the same: nothing can drift apart unnoticed."""

import json
import os
import re
import socket
import subprocess
import threading

import pytest
from kenneld import INTERFACE, KENNEL, PATIENCE, REPOSITORY
from varlink import VarlinkError

METHODS = sorted(INTERFACE.methods)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_dispatched_and_checks_its_fields(kennel, method):
    for more in (False, True):
        with kennel.connect() as c, pytest.raises(VarlinkError) as e:
            c.send(method, {"noSuchField": 1}, more=more)
            c.receive()
        assert e.value.name == "io.kennel.InvalidSpec", e.value
        assert e.value.parameters["field"] == "noSuchField"


def required(method):
    return [name for name, kind in INTERFACE.methods[method][0].items() if kind[0] != "maybe"]


@pytest.mark.parametrize("method", [m for m in METHODS if required(m)])
def test_every_required_field_is_missed(kennel, method):
    with kennel.connect() as c, pytest.raises(VarlinkError) as e:
        c.send(method, {}, more=True)
        c.receive()
    assert (e.value.short, e.value.parameters["field"]) == ("InvalidSpec", required(method)[0])


def wrong_value(kind):
    """A value that no field of this kind can have."""
    tag, of = kind
    if tag == "maybe":
        return wrong_value(of)
    return 1.5 if (tag, of) != ("name", "float") else "x"


def fields_of_methods():
    for method in METHODS:
        for field, kind in INTERFACE.methods[method][0].items():
            yield method, field, kind


@pytest.mark.parametrize("method,field,kind", list(fields_of_methods()), ids=lambda x: x if isinstance(x, str) else "")
def test_every_fields_type_is_checked(kennel, method, field, kind):
    parameters = {}
    for name in required(method):
        parameters[name] = ["true"] if name == "command" else "x"
    parameters[field] = wrong_value(kind)
    with kennel.connect() as c, pytest.raises(VarlinkError) as e:
        c.send(method, parameters, more=True)
        c.receive()
    assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == field, e.value


def sample_value(kind):
    """A value of the kind; null where it may be."""
    tag, of = kind
    if tag == "maybe":
        return None
    if tag in ("array", "map"):
        return [] if tag == "array" else {}
    fields = of if tag == "inline" else INTERFACE.types.get(of)
    if isinstance(fields, list):
        return fields[0]
    if fields is not None:
        return {name: sample_value(k) for name, k in fields.items()}
    return {"bool": True, "int": 1, "float": 1.0, "string": "x", "object": {}}[of]


class Recorder:
    """A server that notes what the client sends and answers everything with an error, but for Inspect, which a verb may
    begin with."""

    def __init__(self, path):
        self.path = path
        self.calls = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        buffer, fds = b"", []
        with connection:
            while True:
                data, new, _, _ = socket.recv_fds(connection, 65536, 64)
                fds += new
                if not data:
                    break
                buffer += data
                while b"\0" in buffer:
                    message, _, buffer = buffer.partition(b"\0")
                    self.calls.append((json.loads(message), len(fds)))
                    reply = {"error": "io.kennel.Failed", "parameters": {"operation": "x", "errno": 1, "message": "y"}}
                    if self.calls[-1][0]["method"] == "io.kennel.Inspect":
                        reply = {"parameters": sample_value(("inline", INTERFACE.methods["Inspect"][1]))}
                    connection.sendall(json.dumps(reply).encode() + b"\0")
        for fd in fds:
            os.close(fd)


@pytest.fixture
def recorder(scratch):
    r = Recorder(scratch / "socket")
    yield r
    r.listener.close()


def run_flags(scratch):
    (scratch / "env").write_text("X=1\n")
    (scratch / "profile").write_text('{"defaultAction":"SCMP_ACT_ALLOW"}')
    return [
        ["--name", "n"],
        ["--rootfs", "/tmp"],
        ["--read-only"],
        ["--tmpfs", "/a:size=4096"],
        ["-v", "/tmp:/b:ro"],
        ["-v", "/tmp:/b"],
        ["-w", "/"],
        ["-u", "1:2"],
        ["-e", "A=1"],
        ["--env-file", str(scratch / "env")],
        ["--hostname", "h"],
        ["--network", "none"],
        ["-m", "64M"],
        ["--cpus", "0.5"],
        ["--memory-swap", "128M"],
        ["--memory-high", "32M"],
        ["--cpu-weight", "50"],
        ["--cpuset-cpus", "0"],
        ["--pids-limit", "5"],
        ["--io-weight", "50"],
        ["--disk", "10M"],
        ["--disk-inodes", "100"],
        ["--net-rate", "1M"],
        ["--pids-limit", "none"],
        ["--network", "bridge", "-p", "127.0.0.1:8080:80/udp"],
        ["--cap-add", "KILL"],
        ["--cap-drop", "KILL"],
        ["--security-opt", f"seccomp={scratch}/profile"],
        ["--security-opt", "seccomp=unconfined"],
        ["--security-opt", "apparmor=a"],
        ["--security-opt", "label=level:s0:c1,c2", "--security-opt", "label=type:a_t"],
        ["--security-opt", "label=disable"],
        ["-v", "/tmp:/b:ro,Z"],
        ["--control", "apparmor=required", "--control", "label=best-effort"],
        ["--exec-policy", "image-only"],
        ["--watch", "fork-storm=kill-process"],
        ["--ulimit", "nofile=1:2"],
        ["--init"],
        ["--rm"],
        ["-d"],
        ["-i"],
    ]


def check_calls(calls, method):
    assert calls, f"{method}: nothing was sent"
    seen = set()
    for call, n_fds in calls:
        assert set(call) <= {"method", "parameters", "more", "oneway"}
        name = call["method"].removeprefix("io.kennel.")
        assert name in INTERFACE.methods, call
        parameters = {k: v for k, v in call.get("parameters", {}).items() if v is not None}
        INTERFACE.check_fields(INTERFACE.methods[name][0], parameters, name)
        if name == method:
            seen |= set(parameters)
    return seen


def test_every_flag_of_run_is_a_field(recorder, scratch):
    sent, limits = set(), set()
    for flags in run_flags(scratch):
        recorder.calls.clear()
        out = subprocess.run(
            [KENNEL, "--socket", recorder.path, "run", *flags, "--", "true", "--name"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert out.returncode == 125, (flags, out.stderr)
        sent |= check_calls(recorder.calls, "Run")
        assert recorder.calls[0][0]["parameters"]["command"] == ["true", "--name"]
        limits |= {k for k, v in (recorder.calls[0][0]["parameters"].get("limits") or {}).items() if v is not None}
    # rootfsPath and image are for clients without descriptors; terminal needs one
    assert sent >= set(INTERFACE.methods["Run"][0]) - {"rootfsPath", "image", "terminal"}
    # ioDevices needs a disk: test_events_limits.py
    assert limits == set(INTERFACE.types["Limits"]) - {"ioDevices"}


VERBS = [
    ("Exec", ["exec", "-u", "1", "-w", "/", "-e", "A=1", "-i", "c", "true"], {"container", "command", "env", "user", "workingDirectory"}),
    ("List", ["ps", "-a"], set()),
    ("Inspect", ["inspect", "c"], {"container"}),
    ("Processes", ["top", "c"], {"container"}),
    ("Stats", ["stats", "--interval", "2", "c"], {"containers", "intervalUsec"}),
    ("Logs", ["logs", "-f", "-n", "3", "c"], {"container", "follow", "tail"}),
    ("Events", ["events", "-f", "--since", "1m"], {"follow", "sinceUsec"}),
    ("Wait", ["wait", "c"], {"container"}),
    ("Kill", ["kill", "-s", "TERM", "--pid", "5", "c"], {"container", "signal", "pid"}),
    ("Kill", ["kill", "--host-pid", "5", "c"], {"container", "hostPid"}),
    ("Stop", ["stop", "-t", "3", "c"], {"container", "timeoutUsec"}),
    ("Pause", ["pause", "c"], {"container"}),
    ("Resume", ["unpause", "c"], {"container"}),
    ("Remove", ["rm", "-f", "c"], {"container", "force"}),
    ("Update", ["update", "-m", "64M", "c"], {"container", "limits"}),
    ("Verify", ["verify", "c"], {"container"}),
    ("Kill", ["kill", "--pid", "5", "--descendants", "c"], {"container", "pid", "descendants"}),
    ("Rogues", ["rogues", "--kill", "c"], {"container", "kill"}),
    ("Rogues", ["rogues", "-f"], {"follow"}),
    ("Info", ["info"], set()),
]


@pytest.mark.parametrize("method,arguments,fields", VERBS, ids=[f"{v[1][0]}-{i}" for i, v in enumerate(VERBS)])
def test_every_verb_sends_what_the_interface_has(recorder, method, arguments, fields):
    out = subprocess.run(
        [KENNEL, "--socket", recorder.path, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert out.returncode in (1, 125) or method == "Inspect", out
    assert fields <= check_calls(recorder.calls, method)


def test_every_verb_of_the_design_is_in_the_help_and_the_man_page():
    help_text = subprocess.run([KENNEL, "--help"], capture_output=True, text=True, check=True).stdout
    man = (REPOSITORY / "client" / "kennel.1").read_text()
    for verb in "run exec ps logs inspect top stats kill stop wait pause unpause update rm events info version verify rogues".split():
        for where, text in (("help", help_text), ("man page", man)):
            assert re.search(rf"\b{verb}\b", text), f"{verb} is not in the {where}"


def keys_of_the_configuration():
    source = (REPOSITORY / "daemon" / "config.c").read_text()
    table = source[source.index("static const Key keys[]") :]
    return re.findall(r'^ +\{ "([a-z-]+)",', table[: table.index("};")], re.M)


def test_every_key_of_the_configuration_is_documented():
    keys = keys_of_the_configuration()
    assert len(keys) == len(set(keys)) > 20
    man = (REPOSITORY / "daemon" / "kenneld.8").read_text().replace("\\-", "-")
    sample = (REPOSITORY / "systemd" / "kenneld.conf").read_text()
    for key in keys:
        assert re.search(rf"^\.(B|BR) .*\b{key}\b", man, re.M), f"{key} is not in the man page"
    assert sorted(re.findall(r"^#([a-z-]+) = ", sample, re.M)) == sorted(keys)


def test_the_sample_configuration_is_the_default(make_daemon):
    """With every key of it in force, a daemon is as one without a file."""
    sample = (REPOSITORY / "systemd" / "kenneld.conf").read_text()
    every = re.sub(r"^#([a-z-]+ = )", r"\1", sample, flags=re.M)
    said, plain = (d.call("Info") for d in (make_daemon(config=every), make_daemon()))
    assert said["tenantLimits"] == plain["tenantLimits"] and set(said["tenantLimits"].values()) == {None}
    assert said["storage"] == plain["storage"] and said["controls"] == plain["controls"]
    assert said["detectors"] == plain["detectors"]
