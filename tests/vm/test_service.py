# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed product under systemd: run in a virtual machine by tests/vm/guest, never on the machine that builds.

These tests stop, restart and kill the machine's one kennel.service. Each begins with it active and no container there.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import time

import pytest

if os.environ.get("KENNEL_VM_TARGET") is None:
    pytest.skip("stops and starts kennel.service: only tests/vm/run runs this, in a machine of its own", allow_module_level=True)

SLOWNESS = float(os.environ.get("KENNEL_TEST_SLOWNESS", "1"))
LSM = os.environ["KENNEL_VM_LSM"]
ENFORCING = os.environ["KENNEL_VM_ENFORCING"] == "1"
SOCKET = pathlib.Path("/run/kennel/io.kennel")
UNITS = ("kennel.service", "kennel.socket")
STARTED, EXITED, FAILED, REFUSED, RECOVERED = (f"a3f1b1f6c6b94d6c8f8f5b7a8d1e2c0{i}" for i in range(1, 6))
KERNEL = tuple(map(int, re.match(r"(\d+)\.(\d+)", os.uname().release).groups()))
# What one that ended without a daemon to see it, or was reaped by another, still says of its exit: PIDFD_GET_INFO.
EXITS_ARE_KEPT = KERNEL >= (6, 15)
# What `systemd-analyze security` may say at most; the README and the unit name the same figures.
EXPOSURE_MAX = 8.7
SYSTEMD = int(subprocess.run(["systemctl", "--version"], check=True, capture_output=True, text=True).stdout.split()[1])


def command(*arguments, user=None, code=0, timeout=30):
    """Output of a command that ends with CODE; None is any code."""
    line = [*(["runuser", "-u", user, "--"] if user else []), *map(str, arguments)]
    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout * SLOWNESS, cwd="/"
    )
    assert code is None or done.returncode == code, f"{line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def output(*arguments, **keywords):
    return command(*arguments, **keywords).stdout


def wait_for(condition, what, seconds=15):
    deadline = time.monotonic() + seconds * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.05)


def unit(name, *properties):
    """Properties of a unit, in their order."""
    text = output("systemctl", "show", name, *(f"--property={p}" for p in properties))
    values = dict(line.split("=", 1) for line in text.splitlines())
    return [values[p] for p in properties]


def why(name="kennel.service"):
    """For a message: what systemd and the journal say."""
    status = command("systemctl", "status", "--no-pager", "--lines=0", name, code=None).stdout
    return f"{status}\n{output('journalctl', '-b', '--no-pager', '-o', 'cat', '-n', '15', '-u', name)}"


def is_active(name="kennel.service"):
    return command("systemctl", "is-active", name, code=None).stdout.strip() == "active"


def state_of(container):
    return json.loads(output("kennel", "inspect", container))["container"]["state"]


def cgroup_root():
    return re.search(r"^cgroup root +(\S+)$", output("kennel", "info"), re.MULTILINE)[1]


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(autouse=True)
def service():
    """kennel.service active before, and after whatever was done to it; no container before or after."""
    yield
    command("systemctl", "reset-failed", *UNITS, code=None)
    if not is_active():
        # what a failed restart leaves would keep the next start from working, and every later test from telling anything
        for procs in pathlib.Path("/sys/fs/cgroup/system.slice/kennel.service").glob("**/cgroup.kill"):
            with contextlib.suppress(OSError):
                procs.write_text("1")
        time.sleep(1)
        command("systemctl", "restart", "kennel.socket", "kennel.service", code=None)
    for line in command("kennel", "ps", "-a", "-q", code=None).stdout.split():
        command("kennel", "rm", "-f", line, code=None)


@pytest.fixture
def container():
    """A container that runs on; its id and its first process."""
    name = output("kennel", "run", "-d", "--pids-limit", "50", "--", "sleep", "infinity").strip()
    yield name, json.loads(output("kennel", "inspect", name))["container"]["pid"]


@pytest.fixture(scope="session")
def users():
    for name, groups in (("member", ["--groups", "kennel"]), ("outsider", [])):
        if command("id", name, code=None).returncode:
            command("useradd", "--create-home", *groups, name)
    return "member", "outsider"


# --- the machine ------------------------------------------------------------------------------------------------------


def test_machine_is_what_the_target_says():
    assert LSM in pathlib.Path("/sys/kernel/security/lsm").read_text().split(",")
    if LSM == "apparmor":
        assert pathlib.Path("/sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    else:
        assert output("getenforce").strip() == ("Enforcing" if ENFORCING else "Permissive")
    controllers = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    assert {"cpuset", "cpu", "io", "memory", "pids"} <= set(controllers)


def test_the_daemon_is_confined():
    label = pathlib.Path(f"/proc/{unit('kennel.service', 'MainPID')[0]}/attr/current").read_text().strip("\0\n")
    expected = r"kenneld \(enforce\)" if LSM == "apparmor" else r"\S+:kenneld_t:s0-s0:c0\.c1023"
    assert re.fullmatch(expected, label), label


def test_info_shows_every_controller_in_force():
    text = output("kennel", "info")
    print(text)
    rows = dict(re.findall(r"^(\S+)\s+(in force|absent|available)\b", text, re.MULTILINE))
    for control in ("seccomp", "devices", "cpu", "memory", "pids", "io"):
        assert rows.get(control) == "in force", text
    assert "cgroup hierarchy   unified" in text


def test_containers_are_below_the_service():
    """Before 254, systemd knows no DelegateSubgroup=: a service with groups below it cannot be started a second time."""
    assert cgroup_root() == ("/kennel" if SYSTEMD < 254 else "/system.slice/kennel.service/containers")


# --- units ------------------------------------------------------------------------------------------------------------


def test_socket_listens_and_service_is_active_by_notify():
    for name in UNITS:
        assert is_active(name), why(name)
    kind, sub, restarts = unit("kennel.service", "Type", "SubState", "NRestarts")
    assert (kind, sub) == ("notify", "running"), why()
    assert restarts == "0"
    found = SOCKET.stat()
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660
    assert SOCKET.group() == "kennel" and SOCKET.owner() == "root"
    assert stat.S_IMODE(SOCKET.parent.stat().st_mode) == 0o711
    assert stat.S_IMODE(pathlib.Path("/var/lib/kennel").stat().st_mode) == 0o700


def test_nothing_failed_at_boot():
    assert output("systemctl", "--failed", "--no-legend", "--plain").strip() == ""


def test_units_verify():
    done = command("systemd-analyze", "verify", "--man=no", *UNITS)
    said = (done.stdout + done.stderr).strip().splitlines()
    if SYSTEMD < 254:  # it ignores the settings, and says so
        said = [line for line in said if not re.search("DelegateSubgroup|FileDescriptorStorePreserve", line)]
    assert said == []


# --- what the unit takes from the daemon, and not from containers -----------------------------------------------------


def test_exposure_is_what_is_stated():
    text = output("systemd-analyze", "security", "--no-pager", "kennel.service")
    print(text)
    assert float(re.search(r"Overall exposure level for kennel.service: ([\d.]+)", text)[1]) <= EXPOSURE_MAX


def status_of(pid, *fields):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return [re.search(rf"^{field}:\s*(\S+)", text, re.MULTILINE)[1] for field in fields]


def test_the_daemon_is_bounded_and_containers_are_not(users):
    main = unit("kennel.service", "MainPID")[0]
    bounding, effective, filters = status_of(main, "CapBnd", "CapEff", "Seccomp")
    for number in (16, 17, 22, 25):  # SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME
        assert not int(bounding, 16) & 1 << number and not int(effective, 16) & 1 << number
    assert filters == "0", "every container would run that filter, too"
    everything = (1 << int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1) - 1
    text = output("kennel", "run", "--rm", "--cap-add", "all", "--", "grep", "-E", "^(CapBnd|Seccomp_filters)", "/proc/self/status")
    found = dict(line.split(":\t") for line in text.splitlines())
    assert int(found["CapBnd"], 16) == everything
    assert found.get("Seccomp_filters", "1") == "1"
    # what a layer needs of the daemon's rights: files of every kind made, given away, and taken away again
    script = "cd /root && touch a && chown 5:6 a && chmod 4755 a && mkdir d && mv d e && rm -r e a && mkfifo f && rm f && rm /etc/hostname"
    command("kennel", "run", "--rm", "--cap-add", "system", "--", "sh", "-euc", script)
    command("kennel", "run", "--rm", "--", "sh", "-euc", "echo x >/tmp/x; ls /", user=users[0])
    command("kennel", "run", "--rm", "-p", "127.0.0.1:81:80", "--network", "bridge", "--disk", "64M", "--", "sh", "-c", "echo x >/dev/null")


def test_a_container_cannot_take_the_daemons_oom_score(container):
    assert pathlib.Path(f"/proc/{unit('kennel.service', 'MainPID')[0]}/oom_score_adj").read_text() == "-500\n"
    assert pathlib.Path(f"/proc/{container[1]}/oom_score_adj").read_text() == "300\n"
    for flags in ((), ("--cap-add", "all")):
        text = output("kennel", "run", "--rm", *flags, "--", "sh", "-c", "echo 200 >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj")
        assert text == "300\n"


def test_no_disk_of_the_host_can_be_opened_by_the_daemon():
    """The device program of the unit, which is on the cgroup: tried by a process that is put there."""
    group = pathlib.Path(f"/proc/{unit('kennel.service', 'MainPID')[0]}/cgroup").read_text().split("::")[1].strip()
    script = f"echo $$ >/sys/fs/cgroup{group}/cgroup.procs && true </dev/loop-control && true </dev/null && ! true </dev/vda"
    assert "Operation not permitted" in command("sh", "-c", script).stderr


# --- who may call -----------------------------------------------------------------------------------------------------


def test_run():
    assert output("kennel", "run", "--rm", "--", "id").startswith("uid=0(root) gid=0(root)")


def test_a_member_of_the_group_runs_containers(users):
    assert output("kennel", "run", "--rm", "--", "id", "-u", user=users[0]) == "0\n"


def test_an_outsider_is_refused(users):
    done = command("kennel", "ps", user=users[1], code=None)
    assert done.returncode != 0
    assert "permission denied" in done.stderr and "kennel" in done.stderr


def test_a_member_does_not_see_what_is_roots(users, container):
    assert container[0] not in output("kennel", "ps", "-a", "-q", user=users[0])
    assert command("kennel", "inspect", container[0], user=users[0], code=None).returncode != 0


# --- life and end of the service --------------------------------------------------------------------------------------


def test_the_socket_starts_the_service():
    command("systemctl", "stop", "kennel.service")
    assert not is_active() and is_active("kennel.socket")
    assert output("kennel", "run", "--rm", "--", "echo", "woken") == "woken\n"
    assert is_active()


def check_found_again(container, pid):
    """The same process, the same limits, still ours to command."""
    assert is_running(pid), why()
    assert state_of(container) == "running"
    assert json.loads(output("kennel", "inspect", container))["container"]["pid"] == pid
    assert output("kennel", "exec", container, "echo", "here") == "here\n"
    group = pathlib.Path(f"/proc/{pid}/cgroup").read_text().split("::")[1].strip()
    assert container in group
    assert pathlib.Path(f"/sys/fs/cgroup{group}/pids.max").read_text() == "50\n"
    command("kennel", "stop", "--time", "1", container)
    assert state_of(container) == "exited"
    assert not is_running(pid)


def test_containers_survive_a_restart(container):
    before = unit("kennel.service", "MainPID")
    done = command("systemctl", "restart", "kennel.service", code=None)
    assert done.returncode == 0 and is_active(), done.stderr + why()
    assert unit("kennel.service", "MainPID") != before
    check_found_again(*container)


def test_a_stop_ends_the_daemon_alone(container):
    """As kenneld(8) says of SIGTERM: the daemon ends, containers run on, and the next one finds them."""
    command("systemctl", "stop", "kennel.service")
    result, main = unit("kennel.service", "Result", "MainPID")
    assert (result, main) == ("success", "0"), why()
    assert is_running(container[1])
    assert is_active("kennel.socket") and SOCKET.is_socket()
    done = command("systemctl", "start", "kennel.service", code=None)
    assert done.returncode == 0, done.stderr + why()
    check_found_again(*container)


def await_another_daemon(before):
    wait_for(lambda: is_active() and unit("kennel.service", "MainPID")[0] not in (before, "0"), "another daemon\n" + why(), 60)


def test_a_killed_daemon_is_started_again(container):
    before = unit("kennel.service", "MainPID")[0]
    os.kill(int(before), 9)
    await_another_daemon(before)
    check_found_again(*container)


def test_a_daemon_that_hangs_is_killed_by_the_watchdog(container):
    """Made shorter than the unit has it, for this test."""
    assert unit("kennel.service", "WatchdogUSec") == ["1min"]
    drop_in = pathlib.Path("/run/systemd/system/kennel.service.d/watchdog.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(f"[Service]\nWatchdogSec={2 * SLOWNESS}\n")
    try:
        command("systemctl", "daemon-reload")
        command("systemctl", "restart", "kennel.service")
        before = unit("kennel.service", "MainPID")[0]
        time.sleep(3 * SLOWNESS)  # it is alive, and says so
        assert unit("kennel.service", "MainPID")[0] == before, why()
        os.kill(int(before), 19)
        await_another_daemon(before)
        assert "watchdog" in output("journalctl", "-b", "--no-pager", "-o", "cat", "-u", "kennel.service").lower()
        check_found_again(*container)
    finally:
        shutil.rmtree(drop_in.parent)
        command("systemctl", "daemon-reload")
        command("systemctl", "restart", "kennel.service")


def logged(container):
    return output("kennel", "logs", container).replace("\r", "")


TALKS = "echo first; while ! [ -e /mnt/go ]; do sleep 0.1; done; echo second; {}"


def restart():
    command("systemctl", "restart", "kennel.service")


def kill():
    before = unit("kennel.service", "MainPID")[0]
    command("systemctl", "kill", "-s", "KILL", "--kill-who=main", "kennel.service")
    await_another_daemon(before)


def stop_and_start():
    command("systemctl", "stop", "kennel.service")
    command("systemctl", "start", "kennel.service")


ENDS = pytest.mark.parametrize("end", [restart, kill, stop_and_start], ids=lambda f: f.__name__)


@ENDS
def test_a_terminal_and_its_output_survive(end):
    name = output("kennel", "run", "-d", "-t", "--", "sh", "-c", TALKS.format("exec sleep infinity")).strip()
    pid = json.loads(output("kennel", "inspect", name))["container"]["pid"]
    wait_for(lambda: logged(name) == "first\n", "the first line")
    kept = "3" if EXITS_ARE_KEPT else "2"
    wait_for(lambda: unit("kennel.service", "NFileDescriptorStore") == [kept], "terminal and refused calls in the store")
    end()
    assert is_running(pid)
    pathlib.Path(f"/proc/{pid}/root/mnt/go").touch()
    if end is stop_and_start and SYSTEMD < 254:
        # the manager has closed what it kept: the terminal has hung up, as kenneld(8) says
        assert command("kennel", "exec", name, "sh", "-c", "echo x >/dev/console", code=None).returncode != 0
    else:
        wait_for(lambda: logged(name) == "first\nsecond\n", f"the second line, in {logged(name)!r}")
    command("kennel", "rm", "-f", name)
    wait_for(lambda: unit("kennel.service", "NFileDescriptorStore") == ["0"], "an empty store")


def test_attached_clients_are_told_of_a_restart():
    line = ["kennel", "run", "--name", "attached", "--", "sh", "-c", "echo first; exec sleep infinity"]
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stdout.readline() == "first\n"
        restart()
        _, said = client.communicate(timeout=15 * SLOWNESS)
        assert client.returncode == 125 and "may still be running; see `kennel ps`" in said, said
    assert state_of("attached") == "running"


def test_limits_hold_and_output_is_kept_while_the_service_is_stopped():
    """Also over daemon-reload, at which systemd looks again at which controllers its groups need."""
    script = TALKS.format("seq 1000; exit 4")
    name = output("kennel", "run", "-d", "--pids-limit", "50", "-m", "64M", "--cpus", "0.5", "--", "sh", "-c", script).strip()
    pid = json.loads(output("kennel", "inspect", name))["container"]["pid"]
    group = pathlib.Path("/sys/fs/cgroup" + pathlib.Path(f"/proc/{pid}/cgroup").read_text().split("::")[1].strip())

    def limits():
        return [group.joinpath(f).read_text().strip() for f in ("pids.max", "memory.max", "cpu.max")]

    before = limits()
    assert before == ["50", str(64 << 20), "50000 100000"]
    command("systemctl", "stop", "kennel.service")
    command("systemctl", "daemon-reload")
    time.sleep(1)
    assert limits() == before
    # and a unit of systemd's own that comes and goes with controllers of its own
    command("systemd-run", "--wait", "--quiet", "-p", "MemoryMax=100M", "-p", "CPUQuota=50%", "-p", "IOWeight=50", "true")
    assert limits() == before
    pathlib.Path(f"/proc/{pid}/root/mnt/go").touch()
    wait_for(lambda: not is_running(pid), "the container to end")
    command("systemctl", "start", "kennel.service")
    exit_of = json.loads(output("kennel", "inspect", name))["container"].get("exit") or {}
    assert state_of(name) == "exited"
    assert exit_of.get("code") in ([4] if EXITS_ARE_KEPT else [4, None])
    if SYSTEMD >= 254:
        assert logged(name) == "first\nsecond\n" + "".join(f"{i}\n" for i in range(1, 1001))


def test_a_restart_costs_no_output_and_no_exit_code():
    name = output("kennel", "run", "-d", "--", "sh", "-c", TALKS.format("seq 1000; exit 4")).strip()
    pid = json.loads(output("kennel", "inspect", name))["container"]["pid"]
    before = unit("kennel.service", "MainPID")[0]
    # between the two daemons, the second of which is a second late
    drop_in = pathlib.Path("/run/systemd/system/kennel.service.d/late.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(f"[Service]\nExecStartPre=sh -c 'touch /proc/{pid}/root/mnt/go; while kill -0 {pid}; do sleep 0.1; done'\n")
    try:
        command("systemctl", "daemon-reload")
        restart()
        assert unit("kennel.service", "MainPID")[0] != before
    finally:
        shutil.rmtree(drop_in.parent)
        command("systemctl", "daemon-reload")
    wait_for(lambda: state_of(name) == "exited", "the exit to be told")
    assert logged(name) == "first\nsecond\n" + "".join(f"{i}\n" for i in range(1, 1001))


def test_the_exit_code_of_an_adopted_container():
    """Not a child of the daemon's: who reaps it is systemd."""
    name = output("kennel", "run", "-d", "--", "sh", "-c", TALKS.format("exit 4")).strip()
    pid = json.loads(output("kennel", "inspect", name))["container"]["pid"]
    restart()
    pathlib.Path(f"/proc/{pid}/root/mnt/go").touch()
    assert command("kennel", "wait", name).stdout.strip() == "4"


def test_the_manager_is_not_known_in_a_container():
    text = output("kennel", "run", "--rm", "--", "sh", "-c", "env; ls -l /proc/self/fd /run")
    assert not re.search("NOTIFY_SOCKET|WATCHDOG|INVOCATION_ID|LISTEN_|systemd", text), text


def test_the_service_ends_clean_without_containers():
    command("systemctl", "restart", "kennel.service")
    command("systemctl", "stop", "kennel.service")
    assert unit("kennel.service", "Result", "ActiveState") == ["success", "inactive"], why()
    assert not pathlib.Path("/sys/fs/cgroup/system.slice/kennel.service").exists(), "its cgroup is left"


# --- the journal ------------------------------------------------------------------------------------------------------


def entries(message_id, container=None):
    fields = [f"MESSAGE_ID={message_id}", *([f"KENNEL_CONTAINER={container}"] if container else [])]
    text = output("journalctl", "-b", "--no-pager", "-o", "json", *fields)
    return [json.loads(line) for line in text.splitlines()]


def catalog(message_id, container):
    fields = (f"MESSAGE_ID={message_id}", f"KENNEL_CONTAINER={container}")
    return output("journalctl", "-b", "--no-pager", "-x", *fields)


def full_id(container):
    return json.loads(output("kennel", "inspect", container))["container"]["id"]


def test_journal_has_start_and_exit_with_fields_and_catalog(container):
    name = full_id(container[0])
    entry = wait_for(lambda: entries(STARTED, name), "the entry of the start")[0]
    assert entry["KENNEL_PEER_UID"] == "0"
    assert entry["_SYSTEMD_UNIT"] == "kennel.service"
    command("kennel", "kill", name)
    wait_for(lambda: entries(EXITED, name), "the entry of the exit")
    text = catalog(STARTED, name)
    assert "Subject: A container was started" in text and f"started the container {name}" in text, text
    assert "Subject: A container exited" in catalog(EXITED, name)


def test_journal_has_the_failed_start():
    command("kennel", "run", "--name", "fails", "--", "/nonexistent", code=127)
    found = wait_for(lambda: entries(FAILED), "the entry of the failure")[-1]
    assert found["PRIORITY"] == "5" and found["KENNEL_PEER_UID"] == "0"
    assert "Subject: A container could not be started" in catalog(FAILED, found["KENNEL_CONTAINER"])


def test_journal_has_what_was_found_again(container):
    name = full_id(container[0])
    os.kill(int(unit("kennel.service", "MainPID")[0]), 9)
    wait_for(lambda: entries(RECOVERED, name), "the entry of the recovery\n" + why())
    assert "Subject: A container was found again" in catalog(RECOVERED, name)


def test_journal_has_the_refused_request(users):
    command("kennel", "run", "--network", "host", "--", "true", user=users[0], code=None)
    found = wait_for(lambda: entries(REFUSED), "the entry of the refusal")[-1]
    assert found["KENNEL_PEER_UID"] == output("id", "-u", users[0]).strip()
    assert "may not call io.kennel.Run" in found["MESSAGE"] and found["PRIORITY"] == "5"
    assert "Subject: A request was refused" in output("journalctl", "-b", "--no-pager", "-x", f"MESSAGE_ID={REFUSED}")


# --- what systemd shows -----------------------------------------------------------------------------------------------


def test_systemd_cgls_shows_the_container(container):
    assert "/usr/sbin/kenneld" in output("systemd-cgls", "--no-pager", "--full", "--unit", "kennel.service")
    text = output("systemd-cgls", "--no-pager", "--full", cgroup_root())
    assert container[0] in text and "sleep infinity" in text, text


def test_systemd_cgtop_shows_the_container(container):
    text = output("systemd-cgtop", "--batch", "--raw", "--iterations=1", "--depth=5")
    assert re.search(rf"^{cgroup_root()[1:]}/{container[0]}\S*\s+\d", text, re.MULTILINE), text


# --- Varlink as others speak it ---------------------------------------------------------------------------------------

needs_varlinkctl = pytest.mark.skipif(
    not shutil.which("varlinkctl"), reason="systemd has varlinkctl from 255 on: see `systemctl --version`"
)


@needs_varlinkctl
def test_varlinkctl_info():
    text = output("varlinkctl", "info", SOCKET)
    assert "Kennel" in text and "io.kennel" in text, text


@needs_varlinkctl
def test_varlinkctl_introspects_the_whole_interface():
    text = output("varlinkctl", "introspect", SOCKET, "io.kennel")
    ours = pathlib.Path(__file__).resolve().parents[2].joinpath("proto", "io.kennel.varlink").read_text()
    # it parses the description and writes it anew
    for kind in ("method", "type", "error"):
        names = set(re.findall(rf"^{kind} (\w+)", ours, re.MULTILINE))
        assert names and names == set(re.findall(rf"^{kind} (\w+)", text, re.MULTILINE))


@needs_varlinkctl
def test_varlinkctl_calls(container):
    text = output("varlinkctl", "call", "--json=short", SOCKET, "io.kennel.List", "{}")
    assert [c["id"][:12] for c in json.loads(text)["containers"]] == [container[0][:12]]
    done = command("varlinkctl", "call", SOCKET, "io.kennel.Inspect", '{"container": "nosuch"}', code=None)
    assert done.returncode != 0 and "io.kennel.NoSuchContainer" in done.stderr + done.stdout


@needs_varlinkctl
def test_varlinkctl_follows(container):
    line = ["varlinkctl", "call", "--more", "--json=short", str(SOCKET), "io.kennel.Events", '{"follow": true, "sinceUsec": 0}']
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as client:
        try:
            # an event that is one by itself, so that each line is
            command("kennel", "pause", container[0])
            for text in client.stdout:
                if '"paused"' in text:
                    break
            else:
                raise AssertionError("the stream ended before the event")
        finally:
            client.kill()


PYTHON_VARLINK = """
import varlink
with varlink.Client.new_with_address("unix:%s") as client, client.open("io.kennel") as kennel:
    print([c["name"] for c in kennel.List()["containers"]])
    try:
        kennel.Inspect("nosuch")
    except varlink.VarlinkError as e:
        print(e.error(), e.parameters()["container"])
"""


def test_python_varlink_calls(container):
    if command("/usr/bin/python3", "-c", "import varlink", code=None).returncode:
        pytest.skip("Debian has the package python3-varlink from release 13 on")
    lines = output("/usr/bin/python3", "-c", PYTHON_VARLINK % SOCKET).splitlines()
    assert container[0] in lines[0]
    assert lines[1] == "io.kennel.NoSuchContainer nosuch"


# --- last, of all that was done above ---------------------------------------------------------------------------------


def test_the_daemon_was_refused_nothing():
    """By its own profile or domain, whatever the tests had it do."""
    own = r'apparmor="DENIED".* profile="kenneld[/"]' if LSM == "apparmor" else r"avc: +denied .*scontext=\S+:kenneld_t:"
    refused = [line for line in output("dmesg").splitlines() if re.search(own, line)]
    assert not refused, "\n".join(refused)
