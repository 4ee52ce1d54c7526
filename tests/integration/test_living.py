# SPDX-License-Identifier: LGPL-2.1-or-later
"""Living with containers: exec, ps, logs, inspect, top, stats, wait, stop, kill, pause, rm, events, verify, info."""

import base64
import json
import os
import pathlib
import re
import subprocess
import time

import pytest
from kenneld import PATIENCE, SLOWNESS, controllers, host_pids_of, wait_for
from varlink import VarlinkError

TRAPPED = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"


def wait_log(kennel, container, text):
    """Follows the log until TEXT has come."""
    with kennel.connect() as c:
        for reply in c.stream("Logs", container=container, follow=True):
            if reply.get("entry") and text in (reply["entry"].get("text") or ""):
                return
    raise AssertionError(f"{text!r} never came")


# exec -----------------------------------------------------------------------------------------------------------------


def test_exec(kennel):
    kennel.start_container("--name", "c", "-e", "A=1", "-w", "/usr")
    out = kennel.kennel("exec", "-e", "B=2", "c", "/bin/sh", "-c", "pwd; echo $A $B; cat /proc/1/comm").ok()
    assert out == "/usr\n1 2\nsleep\n"
    assert kennel.kennel("exec", "-w", "/etc", "c", "pwd").ok() == "/etc\n"
    assert kennel.kennel("exec", "-u", "1000", "c", "id", "-u").ok() == "1000\n"
    assert kennel.kennel("exec", "-i", "c", "cat", input=b"in").ok() == "in"


def test_exec_exit_codes(kennel):
    kennel.start_container("--name", "c")
    assert kennel.kennel("exec", "c", "/bin/sh", "-c", "exit 9").code == 9
    assert kennel.kennel("exec", "c", "/bin/sh", "-c", "kill -9 $$").code == 137
    assert kennel.kennel("exec", "c", "/no/such").code == 127
    assert kennel.kennel("exec", "c", "/etc/passwd").code == 126
    assert kennel.kennel("exec", "nothing-here", "true").code == 125
    result = kennel.kennel("exec", "c", "/bin/sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_exec_in_one_that_has_exited(kennel):
    kennel.kennel("run", "--name", "over", "--", "true").ok()
    result = kennel.kennel("exec", "over", "true")
    assert result.code == 125 and "not running" in result.stderr.lower().replace("isn't", "is not")


def test_exec_dies_with_its_client_and_with_its_container(kennel):
    container = kennel.start_container("--name", "c")
    client = kennel.popen("exec", "c", "/bin/sh", "-c", "echo ready; exec sleep 1000")
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.communicate()
    wait_for(lambda: len(host_pids_of(container)) == 1, "the exec'd process to go")
    client = kennel.popen("exec", "c", "/bin/sh", "-c", "echo ready; exec sleep 1000")
    assert client.stdout.readline() == b"ready\n"
    kennel.kennel("kill", "c").ok()
    client.communicate(timeout=PATIENCE)
    assert client.returncode == 137


# ps, inspect, top, stats ------------------------------------------------------------------------------------------------


def test_ps(kennel):
    one = kennel.start_container("--name", "one")
    kennel.kennel("run", "--name", "over", "--", "/bin/sh", "-c", "exit 4")
    table = kennel.kennel("ps").ok()
    assert "one" in table and "over" not in table
    everything = kennel.kennel("ps", "-a").ok()
    assert "over" in everything and "4" in everything
    assert kennel.kennel("ps", "-q").ok().strip() in one
    objects = kennel.kennel("ps", "-a", "--format", "json").json_lines()
    assert {o["name"]: o["state"] for o in objects} == {"one": "running", "over": "exited"}
    assert objects[1]["exit"]["code"] == 4


def test_prefixes_of_ids(kennel):
    container = kennel.start_container("--name", "c")
    for length in (12, 6, 3):
        assert kennel.inspect(container[:length])["container"]["id"] == container
    with pytest.raises(VarlinkError) as e:
        kennel.inspect("")
    assert e.value.short in ("NoSuchContainer", "InvalidSpec")


def test_inspect(kennel, scratch):
    flags = ("--name", "c", "-v", f"{scratch}:/data:ro", "--tmpfs", "/scratch", "-e", "A=1", "-u", "5:6", "-w", "/usr")
    flags += ("--cap-add", "KILL", "--read-only", "--hostname", "h", "--ulimit", "nofile=10:20")
    flags += ("--pids-limit", "9") if "pids" in controllers() else ()
    container = kennel.start_container(*flags)
    said = json.loads(kennel.kennel("inspect", "c").ok())
    said = said[0] if isinstance(said, list) else said
    raw = kennel.inspect(container)
    assert said["container"]["id"] == raw["container"]["id"] == container
    assert {m["target"]: (m["kind"], m["readOnly"]) for m in raw["mounts"]} == {
        "/data": ("volume", True),
        "/scratch": ("tmpfs", False),
    }
    assert "A=1" in raw["env"] and raw["workingDirectory"] == "/usr" and raw["hostname"] == "h"
    assert (raw["uid"], raw["gid"]) == (5, 6) and raw["readOnly"] is True
    assert [c.removeprefix("CAP_") for c in raw["capabilities"]] == ["KILL"]
    assert {"name": "nofile", "soft": 10, "hard": 20} in raw["ulimits"]
    assert raw["network"] == "none"
    if "pids" in controllers():
        assert raw["limits"]["pids"] == 9
    else:  # the default of 1,024 cannot be kept, and that is said
        assert [c["state"] for c in raw["controls"] if c["name"] == "pids"] == ["absent"]
    assert pathlib.Path(f"/proc/{raw['container']['pid']}/uid_map").read_text().split()[1] == str(raw["idBase"])
    assert container in raw["cgroup"]
    absent = {c["name"]: c for c in raw["controls"] if c["state"] == "absent"}
    assert all(c.get("reason") for c in absent.values()), "an absent control says why"
    assert any("apparmor" in c["name"].lower() or "selinux" in c["name"].lower() for c in raw["controls"])


def test_top(kennel):
    container = kennel.start_container("--name", "c", "-u", "1000", command=("/bin/sh", "-c", "sleep 1000 & sleep 1001; :"))
    wait_for(lambda: len(host_pids_of(container)) == 3, "three processes")
    out = kennel.kennel("top", "c").ok()
    assert "sleep 1000" in out and "sleep 1001" in out
    processes = kennel.call("Processes", container="c")["processes"]
    assert processes[0]["pid"] == 1 and processes[0]["parentPid"] == 0
    assert {p["hostPid"] for p in processes} == set(host_pids_of(container))
    assert {p["uid"] for p in processes} == {1000}
    assert [p["command"] for p in processes[1:]] in (
        [["sleep", "1000"], ["sleep", "1001"]],
        [["sleep", "1001"], ["sleep", "1000"]],
    )
    assert abs(processes[0]["startedUsec"] / 1e6 - time.time()) < 60


def test_top_shows_hostile_names_harmlessly(kennel):
    container = kennel.start_container(
        "--name", "c", command=("python3", "-c", "import os; os.execvp('sleep', ['\\033[2Jred\\n\\xff', '1000'])")
    )
    wait_for(lambda: b"red" in pathlib.Path(f"/proc/{kennel.inspect(container)['container']['pid']}/cmdline").read_bytes(), "exec")
    out = kennel.kennel("top", "c")
    assert "\033" not in out.ok() and "red" in out.stdout
    kennel.call("Processes", container="c")


def test_stats(kennel):
    container = kennel.start_container("--name", "busy", command=("/bin/sh", "-c", "while :; do :; done"))
    with kennel.connect() as c:
        stream = c.stream("Stats", containers=["busy"], intervalUsec=100000)
        samples = [next(stream)["samples"] for _ in range(4)]
    assert all(len(s) == 1 and s[0]["container"] == container for s in samples)
    usage = [s[0]["cpu"]["usageUsec"] for s in samples]
    assert usage == sorted(usage) and usage[-1] - usage[0] > 50000
    ticks = [s[0]["monotonicUsec"] for s in samples]
    assert all(50000 < b - a < 2000000 for a, b in zip(ticks, ticks[1:]))
    unavailable = {u["counter"] for u in samples[0][0]["unavailable"]}
    for group in ("cpu", "memory", "pids"):
        for name, value in samples[0][0][group].items():
            if value is None and not name.endswith("imit"):
                assert {group, f"{group}.{name}"} & unavailable, name
    out = kennel.kennel("stats", "--no-stream", "--format", "json", "busy").json_lines()
    assert out[0]["container"] == container or out[0].get("samples")
    assert "busy" in kennel.kennel("stats", "--no-stream").ok()


@pytest.mark.needs("memory")
def test_stats_of_memory(kennel):
    program = "import time; a = bytearray(50 * 1024 * 1024); print('ready', flush=True); time.sleep(1000)"
    container = kennel.start_container("-m", "200M", command=("python3", "-c", program))
    wait_log(kennel, container, "ready")
    memory = kennel.call("Stats", containers=[container])["samples"][0]["memory"]
    assert 50 * 2**20 < memory["current"] < 120 * 2**20
    assert 50 * 2**20 < memory["anon"] < 120 * 2**20
    assert memory["limit"] == 200 * 2**20


# logs -----------------------------------------------------------------------------------------------------------------


def test_logs(kennel):
    script = "echo one; echo two >&2; printf 'three'; printf '\\377\\376bytes\\n' >&2"
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", script))
    kennel.wait_exited(container)
    result = kennel.kennel("logs", "c")
    assert result.code == 0
    assert "one\n" in result.stdout and "three" in result.stdout
    with kennel.connect() as c:
        entries = [r["entry"] for r in c.stream("Logs", container="c") if r.get("entry")]
    by_stream = {s: [e for e in entries if e["stream"] == s] for s in ("stdout", "stderr")}
    assert [e.get("text") for e in by_stream["stdout"]] == ["one", "three"]
    assert by_stream["stderr"][0]["text"] == "two"
    assert base64.b64decode(by_stream["stderr"][1]["base64"]) == b"\xff\xfebytes"
    assert all(abs(e["timestampUsec"] / 1e6 - time.time()) < 60 for e in entries)


def test_logs_tail_and_timestamps(kennel):
    container = kennel.start_container("--name", "c", command=("seq", "1", "1000"))
    kennel.wait_exited(container)
    assert kennel.kennel("logs", "-n", "3", "c").ok().split() == ["998", "999", "1000"]
    assert kennel.kennel("logs", "c").ok().split() == [str(i) for i in range(1, 1001)]
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+\S* 1000", kennel.kennel("logs", "-t", "-n", "1", "c").ok())


def test_logs_follow(kennel):
    kennel.start_container("--name", "c", command=("/bin/sh", "-c", "echo first; while ! [ -e /tmp/go ]; do sleep 0.01; done; echo last"))
    client = kennel.popen("logs", "-f", "c")
    assert client.stdout.readline() == b"first\n"
    kennel.kennel("exec", "c", "touch", "/tmp/go").ok()
    out, err = client.communicate(timeout=PATIENCE)
    assert (client.returncode, out) == (0, b"last\n"), err


def test_logs_of_very_long_lines(kennel):
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", "head -c 100000 /dev/zero | tr '\\0' y; echo; echo z"))
    kennel.wait_exited(container)
    assert kennel.kennel("logs", "c").ok() == "y" * 100000 + "\nz\n"


def test_log_of_a_detached_terminal_and_of_megabytes(kennel):
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", "seq 1 200000; echo end"))
    kennel.wait_exited(container)
    lines = kennel.kennel("logs", "c").ok().splitlines()
    assert lines[-1] == "end" and len(lines) == 200001


# wait, stop, kill, pause, rm ----------------------------------------------------------------------------------------------


def test_wait_prints_the_code(kennel):
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", TRAPPED))
    wait_log(kennel, container, "ready")
    waiting = [kennel.popen("wait", "c") for _ in range(3)]
    kennel.kennel("kill", "-s", "TERM", "c").ok()
    for w in waiting:
        out, err = w.communicate(timeout=PATIENCE)
        assert (w.returncode, out) == (0, b"3\n"), err
    assert kennel.kennel("wait", "c").ok() == "3\n"


def test_stop(kennel):
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", TRAPPED))
    wait_log(kennel, container, "ready")
    kennel.kennel("stop", "c").ok()
    assert kennel.wait_exited(container)["code"] == 3


def test_stop_kills_after_its_timeout(kennel):
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", "trap '' TERM; trap 'echo x' HUP; echo ready; while :; do sleep 0.05; done"))
    wait_log(kennel, container, "ready")
    begin = time.monotonic()
    exit = kennel.call("Stop", container="c", timeoutUsec=300000)["exit"]
    assert exit["signal"] == "KILL"
    assert time.monotonic() - begin < 8 * SLOWNESS


def test_stop_does_not_wait_for_one_that_cannot_receive(kennel):
    # pid 1 without a handler: the kernel drops SIGTERM. Waiting would be for nothing.
    container = kennel.start_container("--name", "c")
    begin = time.monotonic()
    kennel.kennel("stop", "--time", "1000", "c").ok()
    assert time.monotonic() - begin < 5 * SLOWNESS
    assert kennel.wait_exited(container)["signal"] == "KILL"


def test_kill_by_container_and_by_pid(kennel):
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", "sleep 1000 & sleep 1001 & while :; do wait; done"))

    def listed():
        found = kennel.call("Processes", container="c")["processes"]
        return found if sum(p["command"][0] == "sleep" for p in found) == 2 else None

    processes = wait_for(listed, "both to have executed sleep")
    inside = next(p for p in processes if p["command"] == ["sleep", "1000"])
    outside = next(p for p in processes if p["command"] == ["sleep", "1001"])
    kennel.kennel("kill", "--pid", inside["pid"], "c").ok()
    wait_for(lambda: inside["hostPid"] not in host_pids_of(container), "the first sleep to end")
    assert outside["hostPid"] in host_pids_of(container)
    kennel.kennel("kill", "--host-pid", outside["hostPid"], "c").ok()
    wait_for(lambda: outside["hostPid"] not in host_pids_of(container), "the second sleep to end")
    assert kennel.inspect(container)["container"]["state"] == "running"
    kennel.kennel("kill", "c").ok()
    assert kennel.wait_exited(container)["signal"] == "KILL"


def test_kill_reaches_nothing_outside(kennel):
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        kennel.start_container("--name", "c")
        other = kennel.start_container("--name", "d")
        for pid in (bystander.pid, kennel.inspect(other)["container"]["pid"], os.getpid(), 1, kennel.process.pid):
            with pytest.raises(VarlinkError) as e:
                kennel.call("Kill", container="c", hostPid=pid, signal="KILL")
            assert e.value.short == "NoSuchProcess"
        for pid in (4194304, 999999):
            result = kennel.kennel("kill", "--pid", pid, "c")
            assert result.code != 0 and str(pid) in result.stderr
        assert bystander.poll() is None
        assert kennel.inspect(other)["container"]["state"] == "running"
        bystander.kill()


def test_kill_signals(kennel):
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.01; done"))
    wait_log(kennel, container, "ready")
    for name in ("USR1", "SIGUSR1", "usr1", "10"):
        kennel.kennel("kill", "-s", name, "c").ok()
        wait_log(kennel, container, "usr1")
    assert kennel.kennel("kill", "-s", "NOSUCH", "c").code != 0


def test_kill_one_that_has_exited(kennel):
    kennel.kennel("run", "--name", "over", "--", "true").ok()
    with pytest.raises(VarlinkError) as e:
        kennel.call("Kill", container="over")
    assert e.value.short == "NotRunning"


def test_pause_and_unpause(kennel):
    container = kennel.start_container("--name", "c", command=("/bin/sh", "-c", "while :; do :; done"))
    kennel.kennel("pause", "c").ok()
    assert kennel.inspect("c")["container"]["state"] == "paused"
    usage = [kennel.call("Stats", containers=["c"])["samples"][0]["cpu"]["usageUsec"]]
    time.sleep(0.1)  # the passing of time is what is being measured
    usage.append(kennel.call("Stats", containers=["c"])["samples"][0]["cpu"]["usageUsec"])
    assert usage[1] - usage[0] < 5000 * SLOWNESS
    kennel.kennel("unpause", "c").ok()
    assert kennel.inspect("c")["container"]["state"] == "running"
    wait_for(lambda: kennel.call("Stats", containers=["c"])["samples"][0]["cpu"]["usageUsec"] > usage[1] + 10000, "CPU use")
    kennel.kennel("pause", "c").ok()
    kennel.kennel("kill", "c").ok()
    assert kennel.wait_exited(container)["signal"] == "KILL"


def test_rm(kennel):
    container = kennel.start_container("--name", "c")
    result = kennel.kennel("rm", "c")
    assert result.code != 0 and "running" in result.stderr
    kennel.kennel("rm", "-f", "c").ok()
    with pytest.raises(VarlinkError) as e:
        kennel.inspect(container)
    assert e.value.short == "NoSuchContainer"
    assert not (kennel.state / "containers" / container).exists()
    assert not (kennel.data / "containers" / container).exists()
    assert kennel.kennel("rm", "c").code != 0


def test_several_at_once_go_on_after_an_error(kennel):
    for name in ("a", "b"):
        kennel.start_container("--name", name)
    result = kennel.kennel("rm", "-f", "a", "nothing-here", "b")
    assert result.code == 1 and "nothing-here" in result.stderr
    assert kennel.containers() == []


# events, info ---------------------------------------------------------------------------------------------------------


def test_events_in_order(kennel):
    with kennel.connect() as c:
        c.send("Events", {"follow": True}, more=True)
        # The stream begins with the next event: only after a reply on the same daemon's queue is it sure to be set up.
        kennel.call("Info")
        kennel.kennel("run", "--name", "e", "--", "/bin/sh", "-c", "exit 4")
        kennel.kennel("rm", "e").ok()
        kinds = []
        while not kinds or kinds[-1] != "removed":
            event = c.receive("Events")[0]["event"]
            if event["name"] == "e":
                kinds.append(event["kind"])
                if event["kind"] == "exited":
                    assert event["exit"]["code"] == 4
    assert kinds == ["created", "started", "exited", "removed"]


def test_events_since_and_of_one(kennel):
    before = int(time.time() * 1e6)
    kennel.run("--name", "f", "--", "true").ok()
    kennel.run("--name", "g", "--", "true").ok()
    wait_for(lambda: kennel.containers() == [], "the containers to remove themselves")
    with kennel.connect() as c:
        events = [r["event"] for r in c.stream("Events", sinceUsec=before, follow=False) if r.get("event")]
    kinds = [e["kind"] for e in events if e["name"] == "g"]
    assert kinds == ["created", "started", "exited", "removed"]
    assert all(e["timestampUsec"] >= before for e in events)
    out = kennel.kennel("events", "--since", "1m", "--format", "json").json_lines()
    assert {"f", "g"} <= {e["name"] for e in out}
    assert "started" in kennel.kennel("events", "--since", "1m").ok()


def test_events_of_kill_pause_and_failure(kennel):
    before = int(time.time() * 1e6)
    kennel.start_container("--name", "h")
    kennel.kennel("pause", "h").ok()
    kennel.kennel("unpause", "h").ok()
    kennel.kennel("kill", "h").ok()
    kennel.wait_exited("h")
    kennel.run("--name", "broken", "--", "/no/such")
    with kennel.connect() as c:
        events = [r["event"] for r in c.stream("Events", sinceUsec=before, follow=False) if r.get("event")]
    kinds = [e["kind"] for e in events if e["name"] == "h"]
    assert [k for k in kinds if k != "killed"] == ["created", "started", "paused", "resumed", "exited"]
    assert "killed" in kinds
    failed = [e for e in events if e["name"] == "broken" and e["kind"] == "failed"]
    assert len(failed) == 1 and failed[0]["message"]


@pytest.mark.needs("memory")
def test_event_of_oom(kennel):
    before = int(time.time() * 1e6)
    kennel.kennel("run", "--name", "o", "-m", "32M", "--", "python3", "-c", "bytearray(100 << 20)")
    with kennel.connect() as c:
        events = [r["event"] for r in c.stream("Events", sinceUsec=before, follow=False) if r.get("event")]
    assert "oom" in [e["kind"] for e in events if e["name"] == "o"]


def test_info(kennel):
    info = kennel.call("Info")
    unified = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
    assert info["hierarchy"] == ("unified" if unified else "hybrid")
    assert info["kernel"] == os.uname().release
    assert info["stateDirectory"] == str(kennel.state) and info["dataDirectory"] == str(kennel.data)
    controls = {c["name"].lower(): c for c in info["controls"]}
    for c in controls.values():
        assert (c["state"] == "inForce") or c.get("reason"), c
    if not pathlib.Path("/sys/kernel/security/apparmor").exists():
        assert controls["apparmor"]["state"] == "absent"
    out = kennel.kennel("info").ok()
    assert info["version"] in out and info["hierarchy"] in out


def test_results_on_stdout_everything_else_on_stderr(kennel):
    result = kennel.kennel("inspect", "nothing-here")
    assert result.code != 0 and result.stdout == "" and "nothing-here" in result.stderr
