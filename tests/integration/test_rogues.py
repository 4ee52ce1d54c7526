# SPDX-License-Identifier: LGPL-2.1-or-later
"""What should not be in a container is found, told, kept and removed: from outside, with harmless programs."""

import contextlib
import hashlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

import pytest
from kenneld import PATIENCE, Kenneld, wait_for
from varlink import VarlinkError

BUSYBOX = shutil.which("busybox")
TENANT = 65534


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Follower:
    """Rogues with follow, or Events: replies as they come."""

    def __init__(self, daemon, method, **parameters):
        self.connection = daemon.connect()
        self.connection.send(method, parameters, more=True)

    def wait(self, matches):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            reply = self.connection.receive()[0]
            for item in reply["findings"] if "findings" in reply else [reply["event"]]:
                if item and matches(item):
                    return item
        raise AssertionError("waited in vain")


@pytest.fixture
def follow(kennel):
    made = []

    def make(method, daemon=kennel, **parameters):
        made.append(Follower(daemon, method, follow=True, **parameters))
        return made[-1]

    yield make
    for follower in made:
        follower.connection.close()


def start(daemon, *flags):
    """Its first process waits and reaps; what it is told on its standard input it runs."""
    return daemon.start_container("--tmpfs", "/t:size=8M", "--init", *flags, command=("sleep", "infinity"))


def drop(daemon, container, name="evil", arguments="sleep 1000"):
    """A copy of busybox that was not in the image runs in the container."""
    script = f"mkdir -p /t/{name} && cp {BUSYBOX} /t/{name}/busybox && exec /t/{name}/busybox {arguments}"
    daemon.kennel("exec", container, "sh", "-c", f"({script}) >/dev/null 2>&1 </dev/null &").ok()


def foreign(finding):
    return finding["kind"] == "foreignProgram" and (finding["program"] or "").endswith("/busybox")


def findings(daemon, container=None):
    return daemon.call("Rogues", container=container)["findings"]


def names_of(daemon, container):
    return [" ".join(p["command"]) for p in daemon.call("Processes", container=container)["processes"]]


def test_a_dropped_program_is_found(kennel, follow):
    container = start(kennel)
    follower = follow("Rogues", container=container)
    began = time.monotonic()
    drop(kennel, container)
    found = follower.wait(foreign)
    took = time.monotonic() - began
    assert took < PATIENCE / 4, took
    assert found["container"] == container and found["owner"] == 0 and found["number"] >= 1
    assert found["program"] == "/t/evil/busybox"
    assert found["programSha256"] == sha256(BUSYBOX) and found["programSize"] == os.stat(BUSYBOX).st_size
    found = wait_for(lambda: next((f for f in findings(kennel, container) if foreign(f) and f["command"]), None), "it")
    assert found["command"] == ["/t/evil/busybox", "sleep", "1000"]
    assert found["severity"] in ("medium", "high") and found["action"] == "report" and found["receipt"] is None
    host_pid = found["hostPid"]
    assert os.readlink(f"/proc/{host_pid}/exe") == "/t/evil/busybox"
    assert isinstance(found["parents"], list)


def test_a_follower_hears_what_is_new_alone(kennel):
    container = start(kennel)
    with contextlib.closing(kennel.connect()) as c:
        c.send("Rogues", {"container": container, "follow": True}, more=True)
        assert c.receive("Rogues") == ({"findings": [], "dropped": 0, "receipts": []}, True)
        drop(kennel, container)
        reply, continues = c.receive("Rogues")
        assert continues and len(reply["findings"]) == 1


def test_told_by_an_event_and_shown(kennel, follow):
    container = start(kennel)
    events = follow("Events", container=container)
    drop(kennel, container)
    event = events.wait(lambda e: e["kind"] == "finding")
    number = event["finding"]
    assert any(f["number"] == number and f["evidence"] == event["message"] for f in findings(kennel, container))
    assert kennel.inspect(container)["findings"] == len(findings(kennel, container))
    table = kennel.kennel("rogues", container).ok().splitlines()
    assert table[0].split()[:5] == ["CONTAINER", "#", "KIND", "SEVERITY", "COUNT"]
    assert "/t/evil/busybox" in table[1] and "foreignProgram" in table[1]
    lines = kennel.kennel("rogues", "--format", "json", container).json_lines()
    assert lines == findings(kennel, container)
    assert f"finding={number}" in kennel.kennel("events", container).ok()


def test_killed_exactly(kennel, follow):
    """All processes of findings, and nobody else; pid 1 lives on."""
    container = start(kennel)
    follower = follow("Rogues", container=container)
    kennel.kennel("exec", container, "sh", "-c", "sleep 4444 >/dev/null 2>&1 </dev/null &").ok()
    drop(kennel, container, "one")
    drop(kennel, container, "two", "sleep 2000")
    follower.wait(lambda f: foreign(f) and f["count"] >= 2 or f["program"] == "/t/two/busybox")
    assert sum("/t/" in name for name in names_of(kennel, container)) == 2
    said = kennel.kennel("rogues", "--kill", container)
    lines = said.ok().splitlines()
    assert len(lines) == 2 and all("dead after" in line and line.startswith("killed process") for line in lines), said
    left = names_of(kennel, container)
    assert not any("/t/" in name for name in left) and any("sleep 4444" in name for name in left), left
    assert kennel.inspect(container)["container"]["state"] == "running"
    assert kennel.call("Rogues", container=container, kill=True)["receipts"] == []
    assert "no process" in kennel.kennel("rogues", "--kill", container).stderr


@contextlib.contextmanager
def one_descriptor_left(daemon):
    """The daemon can have one more file open, and no two."""
    pid = daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = set(range(before[0]))
    for _ in range(20):  # what the detectors have open is closed again
        used &= {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        time.sleep(0.01)
    free = next(number for number in range(before[0]) if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free + 1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_what_cannot_be_killed_is_an_error(daemon):
    """No receipt says "dying" of a process that no signal was sent to."""
    container = start(daemon)
    drop(daemon, container)
    wait_for(lambda: any(foreign(f) for f in findings(daemon, container)), "the finding")
    with contextlib.closing(daemon.connect()) as c:
        c.call("Rogues", container=container)

        with one_descriptor_left(daemon), pytest.raises(VarlinkError) as e:
            c.call("Rogues", container=container, kill=True)
        assert e.value.short == "Failed", e.value
    assert any("/t/evil" in name for name in names_of(daemon, container))
    receipts = daemon.call("Rogues", container=container, kill=True)["receipts"]
    assert [r["outcome"] for r in receipts] == ["dead"]


def test_killed_by_the_action(kennel, follow):
    """Started again, killed again."""
    container = start(kennel, "--watch", "foreign-program=kill-process")
    follower = follow("Rogues", container=container)
    seen = set()
    for _ in range(3):
        drop(kennel, container)
        found = follower.wait(lambda f: foreign(f) and f["receipt"] and f["hostPid"] not in seen)
        seen.add(found["hostPid"])
        assert found["action"] == "killProcess" and found["receipt"]["outcome"] in ("dead", "gone")
    assert not any("/t/" in name for name in names_of(kennel, container))
    assert kennel.inspect(container)["container"]["state"] == "running"
    watch = {w["detector"]: w["action"] for w in kennel.inspect(container)["watch"]}
    assert len(watch) == 12 and watch["foreignProgram"] == "killProcess" and watch["connection"] == "off"


def test_the_older_one_is_killed_as_well(kennel, follow):
    """What a process starts is killed; then it executes the same itself, and is the older of the two."""
    container = start(kennel, "--watch", "foreign-program=kill-process")
    follower = follow("Rogues", container=container)
    busybox = "/t/evil/busybox"
    script = f"mkdir /t/evil && cp {BUSYBOX} {busybox} && {{ {busybox} sleep 1000 & sleep 2; exec {busybox} sleep 2000; }}"
    kennel.kennel("exec", container, "sh", "-c", f"({script}) >/dev/null 2>&1 </dev/null &").ok()
    follower.wait(lambda f: foreign(f) and f["receipt"])
    follower.wait(lambda f: foreign(f) and f["count"] >= 2)
    wait_for(lambda: not any("/t/" in name for name in names_of(kennel, container)), "the end of both")
    assert kennel.inspect(container)["container"]["state"] == "running"


def test_frozen_and_killed_by_the_action(kennel, follow):
    for action, kind in (("freeze", "paused"), ("kill", "exited")):
        container = start(kennel, "--watch", f"foreignProgram={action}")
        events = follow("Events", container=container)
        with contextlib.suppress(AssertionError):  # the exec itself may end with the container
            drop(kennel, container)
        assert events.wait(lambda e, kind=kind: e["kind"] == kind)
        assert any(foreign(f) for f in findings(kennel, container))  # also after its exit
        kennel.kennel("rm", "-f", container).ok()
        with pytest.raises(VarlinkError) as e:
            findings(kennel, container)
        assert e.value.short == "NoSuchContainer"


def test_nothing_is_looked_for_where_it_is_off(kennel, follow):
    container = start(kennel, *(x for d in ("foreign-program", "deleted-program") for x in ("--watch", f"{d}=off")))
    drop(kennel, container)
    other = start(kennel)
    follower = follow("Rogues", container=other)
    drop(kennel, other)
    follower.wait(foreign)  # as much time as it takes
    assert not any(foreign(f) for f in findings(kennel, container))


def test_findings_outlive_the_daemon(daemon):
    container = start(daemon)
    with contextlib.closing(daemon.connect()) as c:
        c.send("Rogues", {"container": container, "follow": True}, more=True)
        drop(daemon, container)
        while not any(foreign(f) for f in c.receive()[0]["findings"]):
            pass
    before = [f for f in findings(daemon, container) if foreign(f)]
    files = daemon.state / "containers" / container / "findings"
    wait_for(lambda: (files / f"{before[0]['number']}.json").exists(), "the file")
    daemon.terminate(signal.SIGKILL, -signal.SIGKILL)
    (files / "77.json").write_text('{"number": 77}')
    daemon.start()
    after = [f for f in findings(daemon, container) if foreign(f)]
    assert len(after) == 1 and not (files / "77.json").exists()
    same = ("number", "program", "programSha256", "command", "evidence", "firstUsec", "kind", "severity")
    assert {k: after[0][k] for k in same} == {k: before[0][k] for k in same}
    # and what was found before can be killed still
    receipts = daemon.call("Rogues", container=container, kill=True)["receipts"]
    assert [r["outcome"] for r in receipts] == ["dead"]
    assert not any("/t/" in name for name in names_of(daemon, container))


def test_kept_in_quarantine(make_daemon, scratch):
    quarantine = pathlib.Path(scratch) / "quarantine"
    quarantine.mkdir(mode=0o700)
    daemon = make_daemon(config=f"quarantine = {quarantine}\nwatch-foreign-program = kill-process\n")
    container = start(daemon)
    drop(daemon, container)
    found = wait_for(lambda: next((f for f in findings(daemon, container) if f["receipt"]), None), "a receipt")
    if found["quarantined"] is None:  # it ended by itself before
        assert found["receipt"]["outcome"] == "gone"
    name = f"{container}-{found['number']}-{found['programSha256'][:16]}"
    assert found["quarantined"] == name
    copy = quarantine / name
    assert sha256(copy) == sha256(BUSYBOX) and copy.stat().st_mode & 0o7777 == 0o400
    # not where others could look
    quarantine.chmod(0o755)
    other = Kenneld(config=f"quarantine = {quarantine}\n")
    try:
        ended = subprocess.run(other.command(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    finally:
        shutil.rmtree(other.base)
    assert ended.returncode != 0 and "quarantine directory" in ended.stderr


def test_what_is_kept_is_what_was_found(make_daemon, scratch):
    """A program that executes another one at once, of the image: kept is the one that was found, or nothing."""
    quarantine = pathlib.Path(scratch) / "quarantine"
    quarantine.mkdir(mode=0o700)
    daemon = make_daemon(config=f"quarantine = {quarantine}\n")
    container = start(daemon)
    for n in range(3):
        evil = f"/t/{n}/busybox"
        script = f"mkdir /t/{n} && cp {BUSYBOX} {evil} && echo {n} >>{evil} && exec {evil} sh -c 'exec /bin/sleep 1000'"
        daemon.kennel("exec", container, "sh", "-c", f'({script}) >/dev/null 2>&1 </dev/null &').ok()
    wait_for(lambda: sum(map(foreign, findings(daemon, container))) == 3, "all of them")
    time.sleep(1)  # in which a copy would have been made
    kept = {f["quarantined"]: f["programSha256"] for f in findings(daemon, container) if f["quarantined"]}
    assert {p.name for p in quarantine.iterdir()} == set(kept)
    assert {name: sha256(quarantine / name) for name in kept} == kept


def as_tenant(daemon, *arguments):
    """The client as another user, who is in the tenants' group."""

    def drop_rights():
        os.setgroups([])
        os.setresgid(TENANT, TENANT, TENANT)
        os.setresuid(TENANT, TENANT, TENANT)

    return daemon.kennel(*arguments, preexec_fn=drop_rights)


@pytest.fixture
def tenants(make_daemon):
    return make_daemon(config="tenant-group = nogroup\nwatch-preload = kill-process\n")


def test_others_see_nothing_of_it(tenants):
    container = start(tenants)
    drop(tenants, container)
    wait_for(lambda: any(foreign(f) for f in findings(tenants, container)), "the finding")
    assert as_tenant(tenants, "rogues", "--format", "json").ok() == ""
    refused = as_tenant(tenants, "rogues", container)
    nowhere = as_tenant(tenants, "rogues", "nowhere")
    assert refused.code == nowhere.code == 125
    assert refused.stderr.replace(container, "X") == nowhere.stderr.replace("nowhere", "X")
    assert as_tenant(tenants, "rogues", "--kill").code == 0
    assert any("/t/evil" in name for name in names_of(tenants, container))


def test_others_may_ask_for_more_only(tenants):
    refused = as_tenant(tenants, "run", "--watch", "preload=report", "true")
    assert refused.code == 125 and "--watch" in refused.stderr and "watch[0].action" in refused.stderr
    assert "root alone" in refused.stderr
    assert as_tenant(tenants, "run", "--rm", "--watch", "preload=kill", "true").code == 0
    tenants.kennel("run", "--rm", "--watch", "preload=off", "true").ok()


@pytest.mark.parametrize(
    "parameters,field",
    [
        ({"kill": True, "follow": True}, "kill"),
        ({"kill": "x"}, "kill"),
        ({"container": 1}, "container"),
        ({"sort": "x"}, "sort"),
    ],
)
def test_wrong_parameters(kennel, parameters, field):
    with kennel.connect() as c, pytest.raises(VarlinkError) as e:
        c.send("Rogues", parameters, more=True)
        c.receive()
    assert (e.value.short, e.value.parameters["field"]) == ("InvalidSpec", field)


def test_follow_needs_more(kennel):
    with pytest.raises(VarlinkError) as e:
        kennel.call("Rogues", follow=True)
    assert e.value.name == "org.varlink.service.ExpectedMore"


@pytest.mark.parametrize(
    "watch,field",
    [
        ([{"detector": "x", "action": "off"}], "watch[0].detector"),
        ([{"detector": "cpu", "action": "kill"}], "watch[0].action"),
        ([{"detector": "cpu", "action": "off"}] * 2, "watch[1].detector"),
        ([{"detector": "cpu"}], "watch[0].action"),
    ],
)
def test_wrong_watch(kennel, watch, field):
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", command=["true"], watch=watch)
    assert (e.value.short, e.value.parameters["field"]) == ("InvalidSpec", field)


# receipts of kill -----------------------------------------------------------------------------------------------------


def test_receipt_of_a_process(kennel):
    container = start(kennel)
    kennel.kennel("exec", container, "sh", "-c", "sleep 4444 >/dev/null 2>&1 </dev/null &").ok()

    def sleeper():
        return next((p for p in kennel.call("Processes", container=container)["processes"] if "4444" in p["command"]), None)

    process = wait_for(sleeper, "the program")
    said = kennel.kennel("kill", "--pid", str(process["pid"]), container)
    assert said.ok() == f"{container}\n"
    assert f"killed process {process['pid']} (host {process['hostPid']}): dead after" in said.stderr
    assert not os.path.exists(f"/proc/{process['hostPid']}") or "Z" in pathlib.Path(
        f"/proc/{process['hostPid']}/stat"
    ).read_text()
    with pytest.raises(VarlinkError) as e:
        kennel.call("Kill", container=container, pid=process["pid"])
    assert e.value.short == "NoSuchProcess"
    assert kennel.inspect(container)["container"]["state"] == "running"


def test_receipt_with_descendants(kennel):
    container = start(kennel)
    script = "sh -c 'sleep 4444 & sleep 5555 & wait' >/dev/null 2>&1 </dev/null &"
    kennel.kennel("exec", container, "sh", "-c", script).ok()

    def shell():
        processes = kennel.call("Processes", container=container)["processes"]
        return next((p for p in processes if p["command"][:2] == ["sh", "-c"] and len(processes) >= 5), None)

    pid = wait_for(shell, "the shell and its children")["pid"]
    said = kennel.kennel("kill", "--pid", str(pid), "--descendants", "--format", "json", container).json_lines()
    assert len(said) == 1 and said[0]["container"] == container
    receipt = said[0]["receipt"]
    assert receipt["pid"] == pid and receipt["outcome"] == "dead" and receipt["processes"] == 3
    assert not any("4444" in name or "5555" in name for name in names_of(kennel, container))


def test_receipt_of_a_container(kennel):
    """A container that forks and forks is gone when the answer comes."""
    bomb = "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.01)"
    container = kennel.start_container("--pids-limit", "200", command=("python3", "-c", bomb))
    wait_for(lambda: len(kennel.call("Processes", container=container)["processes"]) > 20, "the storm")
    said = kennel.kennel("kill", container)
    assert said.ok() == f"{container}\n" and "killed the container:" in said.stderr and "process" in said.stderr
    kennel.wait_exited(container)


def test_other_signals_have_no_receipt(kennel):
    container = start(kennel)
    assert kennel.call("Kill", container=container, signal="HUP")["receipt"] is None


@pytest.mark.parametrize("parameters", [{}, {"pid": 1, "signal": "TERM"}])
def test_descendants_of_whom(kennel, parameters):
    container = start(kennel)
    with pytest.raises(VarlinkError) as e:
        kennel.call("Kill", container=container, descendants=True, **parameters)
    assert (e.value.short, e.value.parameters["field"]) == ("InvalidSpec", "descendants")


def test_detectors_of_the_host(kennel):
    detectors = kennel.call("Info")["detectors"]
    assert len(detectors) == 12 and {d["action"] for d in detectors} == {"report", "off"}
    assert [d["detector"] for d in detectors if d["action"] == "off"] == ["connection"]
    assert "DETECTOR" in kennel.kennel("info").ok()
