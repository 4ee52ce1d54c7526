# SPDX-License-Identifier: LGPL-2.1-or-later
"""Controls that a host may lack: required ones refuse the start, best-effort ones are said to be absent everywhere.

Which of the two a host shows depends on its security module: each test looks at the host itself and expects the one or the
other, so that nothing is left out where there is one."""

import errno
import grp
import pathlib
import signal
import subprocess

import pytest
from kenneld import PATIENCE, controllers
from varlink import VarlinkError

TENANT = 65532
MODULES = ("apparmor", "selinux")
DEFAULTS = {
    "apparmor": "bestEffort",
    "selinux": "bestEffort",
    "label": "bestEffort",
    "seccomp": "required",
    "devices": "required",
    "storage": "bestEffort",
    "pids": "bestEffort",
}


def modules_of_the_host():
    """As the kernel has them, whatever the daemon says."""
    found = set()
    enabled = pathlib.Path("/sys/module/apparmor/parameters/enabled")
    if enabled.exists() and enabled.read_text().strip() == "Y":
        found.add("apparmor")
    if pathlib.Path("/sys/fs/selinux/enforce").exists():
        found.add("selinux")
    return found


HAS = modules_of_the_host() | ({"label"} if modules_of_the_host() else set())


def controls_of(reply):
    controls = {c["name"]: c for c in reply["controls"]}
    assert len(controls) == len(reply["controls"]), "none is there twice"
    return controls


def events_of(daemon, container):
    with daemon.connect() as c:
        found = [r["event"] for r in c.stream("Events", follow=False) if r.get("event")]
    return [e for e in found if container in (e["container"], e["name"])]


def as_tenant(daemon, *arguments):
    return subprocess.run(
        daemon.client_command(*arguments),
        user=TENANT,
        group=TENANT,
        extra_groups=[grp.getgrnam("users").gr_gid],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def refused_for_want_of(daemon, control, *flags):
    """Not one trace is left of it, and the client says which control it was, and why."""
    result = daemon.run("--name", "refused", *flags, "--", "true")
    assert result.code == 125 and result.stdout == "", result
    assert f"{control}: it is required by" in result.stderr, result
    named = {"apparmor": "apparmor", "selinux": "selinux", "label": "apparmor: "}[control]
    assert named in result.stderr.lower() and "best-effort" in result.stderr, result
    assert events_of(daemon, "refused") == [] and daemon.containers() == []
    assert list((daemon.state / "containers").iterdir()) == list((daemon.data / "containers").iterdir()) == []
    return result.stderr


# what there is --------------------------------------------------------------------------------------------------------


def test_info_has_modes_and_what_the_kernel_has(kennel):
    controls = controls_of(kennel.call("Info"))
    assert {n: c["mode"] for n, c in controls.items() if c["mode"]} == DEFAULTS
    for name in (*MODULES, "label"):
        assert controls[name]["state"] == ("inForce" if name in HAS else "absent"), controls[name]
    assert controls["pids"]["state"] == ("inForce" if "pids" in controllers() else "absent")
    for c in controls.values():
        assert (c["reason"] is None) == (c["state"] == "inForce"), c
    lines = [line.split() for line in kennel.kennel("info").ok().splitlines()]
    assert ["CONTROL", "STATE", "MODE", "REASON"] in lines
    assert ["seccomp", "in", "force", "required"] in lines
    assert [line[2] if line[1] == "absent" else line[3] for line in lines if line[:1] == ["label"]] == ["best-effort"]


def test_info_has_the_modes_of_the_configuration(make_daemon):
    modes = {name: ("bestEffort", "required")[i % 2] for i, name in enumerate(DEFAULTS)}
    lines = [f"control-{name} = {mode.replace('bestEffort', 'best-effort')}\n" for name, mode in modes.items()]
    daemon = make_daemon(config="".join(lines))
    controls = controls_of(daemon.call("Info"))
    assert {n: c["mode"] for n, c in controls.items() if c["mode"]} == modes


# required -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", [*MODULES, "label"])
def test_required_by_the_configuration(make_daemon, control):
    daemon = make_daemon(config=f"control-{control} = required\n")
    info = controls_of(daemon.call("Info"))[control]
    assert info["mode"] == "required"
    if control in HAS:
        container = daemon.start_container()
        shown = controls_of(daemon.inspect(container))[control]
        assert (shown["state"], shown["mode"]) == ("inForce", "required"), shown
        daemon.kennel("verify", container).ok()
        return
    assert info["state"] == "absent" and info["reason"]
    assert f'"{control}" is required, and missing' in daemon.log()
    for flags in ([], ["--read-only"], ["-d"], ["--control", "seccomp=required"]):
        said = refused_for_want_of(daemon, control, *flags)
        assert f"the configuration (control-{control})" in said and info["reason"][:60] in said
    # root alone may say otherwise, for one container
    assert daemon.run("--control", f"{control}=best-effort", "--", "echo", "there").ok() == "there\n"


@pytest.mark.parametrize("control", [*MODULES, "label"])
def test_required_by_the_call(kennel, control):
    if control in HAS:
        container = kennel.start_container("--control", f"{control}=required")
        assert controls_of(kennel.inspect(container))[control]["mode"] == "required"
        return
    assert "required by the call" in refused_for_want_of(kennel, control, "--control", f"{control}=required")
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", command=["true"], controls=[{"control": control, "mode": "required"}])
    assert e.value.short == "HardeningFailed"
    assert (e.value.parameters["stage"], e.value.parameters["errno"]) == (control, errno.EOPNOTSUPP)


@pytest.mark.parametrize("module", MODULES)
def test_a_label_asked_for_by_name_is_had_or_refused(kennel, module):
    flags = {"apparmor": ["apparmor=no-such-profile"], "selinux": ["label=type:no_such_t", "label=level:s0:c1,c2"]}
    for flag in flags[module]:
        for more in ([], ["--control", f"{module}=best-effort"]):
            if flag == "label=level:s0:c1,c2" and module in HAS:
                continue  # which can be had there
            result = kennel.run("--security-opt", flag, *more, "--", "true")
            assert result.code == 125 and module in result.stderr.lower() + (module if module in HAS else ""), result
            assert flag.rsplit("=", 1)[1].removeprefix("type:").removeprefix("level:") in result.stderr
    assert kennel.containers() == []


def test_without_a_module_there_is_nothing_to_switch_off(kennel):
    """Scripts that say so for every host run on this one."""
    options = ("--security-opt", "apparmor=unconfined", "--security-opt", "label=disable")
    container = kennel.start_container(*options, "-v", "/usr:/a:ro,z" if "selinux" not in HAS else "/usr:/a:ro")
    controls = controls_of(kennel.inspect(container))
    for name in MODULES:
        assert controls[name]["state"] == "absent"
        assert (controls[name]["reason"] == "root asked for none") == (name in HAS)
    assert controls["label"]["state"] == "absent"
    said = kennel.inspect(container)
    assert said["apparmorProfile"] is None and said["mountLabel"] is None


# best-effort ----------------------------------------------------------------------------------------------------------


def test_best_effort_says_so(kennel):
    container = kennel.start_container("--name", "c", "--control", "label=best-effort")
    controls = controls_of(kennel.inspect(container))
    assert {n: c["mode"] for n, c in controls.items() if c["mode"]} == DEFAULTS
    table = kennel.kennel("verify", "c").ok()
    rows = {r["control"]: r for r in kennel.kennel("verify", "--format", "json", "c").json_lines()}
    for module in MODULES:
        assert controls[module]["state"] == ("inForce" if module in HAS else "absent")
        if module in HAS:
            continue
        reason = controls[module]["reason"]
        assert rows[module] == {
            "control": module,
            "expected": f"none: best-effort, {reason}"[: len(rows[module]["expected"])],
            "found": "none",
            "passed": True,
        }
        assert f"none: best-effort, {reason[:30]}" in table
    started = [e for e in events_of(kennel, container) if e["kind"] == "started"]
    assert len(started) == 1
    told = [e for e in started if e["message"]]
    if "label" in HAS:
        assert controls["label"]["state"] == "inForce" and told == [], "one of the two is what a host has"
        return
    assert controls["label"]["state"] == "absent" and "label" not in rows
    assert len(told) == 1 and told[0]["owner"] == 0 and told[0]["name"] == "c"
    assert told[0]["message"].startswith("without apparmor: ") and "; selinux: " in told[0]["message"]
    kinds = [e["kind"] for e in events_of(kennel, container)]
    assert kinds == ["created", "started"]
    line = [x for x in kennel.kennel("events", "--since", "1m").ok().splitlines() if " started " in x and " c " in x]
    assert told[0]["message"] in line[-1]


def test_it_is_known_after_a_restart(make_daemon):
    """Also what the configuration says differently by then."""
    daemon = make_daemon()
    container = daemon.start_container("--control", "pids=required", "--security-opt", "seccomp=unconfined")
    before = daemon.inspect(container)["controls"]
    daemon.terminate(signal.SIGKILL, expected=-signal.SIGKILL)
    daemon.config = daemon.base / "kenneld.conf"
    daemon.config.write_text("control-seccomp = required\ncontrol-pids = best-effort\n")
    daemon.start()
    after = daemon.inspect(container)["controls"]
    assert after == before
    assert [c["mode"] for c in after if c["name"] in ("seccomp", "pids")] == ["bestEffort", "required"]
    daemon.kennel("verify", container).ok()


# who may say what -----------------------------------------------------------------------------------------------------


def test_only_root_loosens(make_daemon):
    daemon = make_daemon(config="tenant-group = users\ncontrol-storage = required\n")
    for control in ("seccomp", "devices", "storage"):
        result = as_tenant(daemon, "run", "--rm", "--control", f"{control}=best-effort", "--", "true")
        assert result.returncode == 125 and "--control" in result.stderr, result
        assert control in result.stderr and "root alone" in result.stderr, result
        daemon.run("--control", f"{control}=best-effort", "--", "true").ok()
    for flags in (["seccomp=required", "pids=best-effort"], ["label=best-effort"]):
        flags = [x for f in flags for x in ("--control", f)]
        assert as_tenant(daemon, "run", "--rm", *flags, "--", "true").returncode == 0
    for option in ("seccomp=unconfined", "apparmor=unconfined", "apparmor=a-profile", "label=disable"):
        result = as_tenant(daemon, "run", "--rm", "--security-opt", option, "--", "true")
        assert result.returncode == 125 and "root alone" in result.stderr, result
    tightened = as_tenant(daemon, "run", "--rm", "--control", "label=required", "--", "true")
    assert tightened.returncode == (0 if "label" in HAS else 125), tightened


SWITCHED_OFF = {
    "seccomp": (["--security-opt", "seccomp=unconfined"], "seccompProfile"),
    "pids": (["--pids-limit", "none"], "limits.pids"),
    "storage": (["--disk", "none"], "limits.disk"),
    "apparmor": (["--security-opt", "apparmor=unconfined"], "apparmorProfile"),
    "selinux": (["--security-opt", "label=disable"], "label.disable"),
}


@pytest.mark.parametrize("control", SWITCHED_OFF)
def test_what_is_required_is_not_switched_off(make_daemon, control):
    daemon = make_daemon()
    flags, field = SWITCHED_OFF[control]
    if controls_of(daemon.call("Info"))[control]["state"] == "absent":  # there is nothing to be switched off
        result = daemon.run(*flags, "--control", f"{control}=required", "--", "true")
        assert result.code == 125 and f"{control}: it is required by the call" in result.stderr, result
        return
    container = daemon.start_container("--name", "off", *flags)
    shown = controls_of(daemon.inspect(container))[control]
    assert (shown["state"], shown["mode"]) == ("absent", "bestEffort")
    is_limit = control in ("pids", "storage")
    assert shown["reason"] == ("no limit was asked for" if is_limit else "root asked for none")
    told = [e["message"] for e in events_of(daemon, container) if e["kind"] == "started" and e["message"]]
    assert any(f"{control}: root asked for none" in m for m in told) == (not is_limit), told
    daemon.kennel("verify", container).ok()

    result = daemon.run(*flags, "--control", f"{control}=required", "--", "true")
    assert result.code == 125 and "required by the call" in result.stderr and field in result.stderr, result
    strict = make_daemon(config=f"control-{control} = required\n")
    result = strict.run(*flags, "--", "true")
    assert result.code == 125 and f"control-{control}" in result.stderr and field in result.stderr, result
    strict.run(*flags, "--control", f"{control}=best-effort", "--", "true").ok()


@pytest.mark.needs("pids")
def test_update_does_not_take_away_what_is_required(kennel):
    container = kennel.start_container("--control", "pids=required")
    result = kennel.kennel("update", "--pids-limit", "none", container)
    assert result.code in (1, 125) and "pids=required" in result.stderr, result
    kennel.kennel("update", "--pids-limit", "7", container).ok()
    assert kennel.inspect(container)["limits"]["pids"] == 7


def test_a_container_without_a_layer_needs_no_size(kennel):
    container = kennel.start_container("--read-only", "--control", "storage=required")
    shown = controls_of(kennel.inspect(container))["storage"]
    assert (shown["state"], shown["reason"], shown["mode"]) == ("absent", "it has no writable layer", "required")
    assert not [e for e in events_of(kennel, container) if "storage" in (e["message"] or "")]


@pytest.mark.parametrize("line", ["control-apparmor = yes", "control-memory = required", "control-label ="])
def test_bad_configuration(make_daemon, line):
    daemon = make_daemon(config=line + "\n", start=False)
    done = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1 and line.split()[0] in done.stderr and ":1:" in done.stderr, done
    daemon.config.write_text("")
