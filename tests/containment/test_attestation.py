# SPDX-License-Identifier: LGPL-2.1-or-later
"""A start that leaves out one step is caught before its program has run one instruction.

The daemon runs with tamper.c preloaded, which leaves out or falsifies the step that a file names. What is caught by the
kernel itself, because a later step needs the one that is missing, counts too; it is listed with the stage's name.
"""

import contextlib
import os
import pathlib
import re
import signal
import struct

import pytest
from kenneld import BUILD, PATIENCE, SANITIZED, Kenneld, wait_for

LIBRARY = BUILD / "tests" / "libkennel-tamper.so"
UNIFIED = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
pytestmark = pytest.mark.skipif(SANITIZED, reason="KENNEL_SANITIZED=1: ASan has to be the first library that is loaded")

LEFT = f"{1 << 13:016x}"  # CAP_NET_RAW


def label_reason():
    """Why this host cannot show a label that is missing; None if it can."""
    for path in ("/sys/fs/selinux/enforce", "/sys/kernel/security/apparmor/profiles"):
        with contextlib.suppress(OSError):
            if pathlib.Path(path).read_text():
                return None
    return "neither AppArmor nor SELinux is in force on this host"


class Tampered:
    def __init__(self, daemon, step, canary):
        self.daemon, self.step, self.canary = daemon, step, canary

    def set(self, *words):
        self.step.write_text(" ".join(map(str, words)))

    def arguments(self, *flags):
        script = "echo ran >/canary/ran; sleep 0.01"
        return ["run", "--rm", "-v", f"{self.canary}:/canary", *flags, "--", "/bin/sh", "-c", script]

    def run(self, *flags):
        return self.daemon.kennel(*self.arguments(*flags))

    def has_run(self):
        return (self.canary / "ran").exists()

    def expect_caught(self, result, pattern, code=125):
        assert result.code == code, result
        assert re.search(pattern, result.stderr), result
        assert not self.has_run(), "the program has run"
        assert self.daemon.containers() == []
        self.daemon.check_nothing_left()

    def expect_untampered(self):
        self.set()
        result = self.run()
        assert result.code == 0, result
        assert self.has_run()
        (self.canary / "ran").unlink()


@pytest.fixture(scope="module")
def preloaded(request, tmp_path_factory):
    step = tmp_path_factory.mktemp("tamper") / "step"
    step.write_text("")
    d = Kenneld(environment={"LD_PRELOAD": str(LIBRARY), "KENNEL_TAMPER": str(step)}).start()
    yield d, step
    d.stop(keep=request.config.getoption("--keep"))


@pytest.fixture
def tampered(preloaded, scratch):
    daemon, step = preloaded
    scratch.chmod(0o777)
    yield Tampered(daemon, step, scratch)
    step.write_text("")
    assert daemon.process.poll() is None, f"the daemon has ended:\n{daemon.log()[-6000:]}"


def attestation(control, found=".*"):
    """The message names the control that differs and what was found."""
    return f'attestation: {re.escape(control)} was to be ".*", and the kernel says "{found}"'


# step, arguments of `kennel run`, what the error says
STEPS = {
    "bounding set": ("bounding", [], attestation("capBounding", LEFT)),
    "permitted and effective set": ("permitted", [], attestation("capPermitted", LEFT) + "; likewise: capEffective"),
    "inheritable set": ("inheritable", [], attestation("capInheritable", LEFT)),
    "ambient set": ("ambient", [], attestation("capInheritable", LEFT) + "; likewise: .*capAmbient"),
    # with a filter the kernel notices first: it is installed by who may not gain privileges, or by root
    "no new privileges, filter": ("no_new_privs", [], "seccomp: "),
    "no new privileges": ("no_new_privs", ["--security-opt", "seccomp=unconfined"], attestation("noNewPrivs", "0")),
    "filter": ("seccomp", [], attestation("seccompMode", "[0-9]+")),
    "a second filter": ("second_filter", [], attestation("seccompFilters", "[0-9]+")),
    "uid": ("uid", ["-u", "1:1"], "attestation: uid was to be"),
    "gid": ("gid", ["-u", "1:1"], "attestation: gid was to be"),
    "groups": ("groups", [], "attestation: groups was to be"),
    "map of users": ("uid_map", [], attestation("uidMap", "0 [0-9]+ 65537")),
    "map of groups": ("gid_map", [], attestation("gidMap", "0 [0-9]+ 65537")),
    "mask of a file": ("mask interrupts", [], attestation("masks", "/proc/interrupts is not covered")),
    "mask of a directory": ("mask fs", [], attestation("masks", "/proc/fs is not covered")),
    "mask below /sys": ("mask firmware", [], attestation("masks", "/sys/firmware is not covered")),
    "cover that can be written to": ("cover", [], attestation("masks", "/proc/.* is not covered")),
    "/proc/sys read-only": ("proc_sys", [], attestation("procSysMount", "rw,.*")),
    "root read-only": ("root", ["--read-only"], attestation("rootMount", "rw,nosuid,nodev .*")),
    "root nosuid": ("flag overlay nosuid", [], attestation("rootMount", "rw,nodev .*")),
    "/usr read-only": ("flag overlay ro", [], attestation("usrMount", "rw,.*")),
    "/dev/mqueue noexec": ("flag mqueue noexec", [], attestation("mqueueMount", "rw,nosuid,nodev .*")),
    "/dev/pts nosuid": ("flag devpts nosuid", [], attestation("ptsMount", "rw,noexec .*")),
    "/proc noexec": ("flag proc noexec", [], "mounts: |" + attestation("procMount")),
    "/sys read-only": ("flag sysfs ro", [], "mounts: |" + attestation("sysMount")),
    "cgroup read-only": ("flag cgroup2 ro", [], "mounts: |" + attestation("cgroupMount")),
    "tmpfs nodev": ("flag tmpfs nodev", ["--tmpfs", "/x"], attestation("shmMount") + r".*; likewise: .*tmpfs\[0\]"),
    "volume nosuid": ("volume nosuid", [], attestation("volumes[0]", "rw,nodev,idmapped /canary")),
    "volume nodev": ("volume nodev", [], attestation("volumes[0]", "rw,nosuid,idmapped /canary")),
    "what was mounted before": ("old_root", [], attestation("otherMounts")),
    "descriptor": ("close_range", [], attestation("descriptors", "0 1 2 [0-9 ]+")),
    "OOM score": ("oom_score", [], attestation("oomScoreAdj", "-?[0-9]+")),
    "rlimit": ("rlimit", ["--ulimit", "nofile=64:64"], attestation("ulimits.nofile")),
    "cgroup": ("cgroup", [], attestation("cgroup")),
    # The kernel does not let what has no rights outside its user namespace do the next steps in a namespace of the host's.
    "namespace user": ("namespace user", [], "idMaps: "),
    "namespace pid": ("namespace pid", [], "mounts: |" + attestation("pidNamespace", "the host's")),
    "namespace mnt": ("namespace mnt", [], "mounts: |" + attestation("mountNamespace", "the host's")),
    "namespace ipc": ("namespace ipc", [], "mounts: |" + attestation("ipcNamespace", "the host's")),
    "namespace uts": ("namespace uts", [], "hostname: |" + attestation("utsNamespace", "the host's")),
    "namespace net": ("namespace net", [], "mounts: |loopback: |" + attestation("networkNamespace", "the host's")),
    "namespace cgroup": ("namespace cgroup", [], "mounts: |" + attestation("cgroupNamespace", "the host's")),
    "namespace time": ("namespace time", [], attestation("timeNamespace", "the host's")),
}


@pytest.mark.parametrize("name", STEPS)
def test_every_step(tampered, name):
    words, flags, pattern = STEPS[name]
    if not pathlib.Path("/sys/firmware").exists() and "firmware" in words:
        pytest.skip("this host has no /sys/firmware")
    # Debian 13 mounts /tmp so, and a clone keeps what its source has: there is nothing to leave out
    inherited = {"volume nosuid": os.ST_NOSUID, "volume nodev": os.ST_NODEV}.get(name, 0)
    if os.statvfs(tampered.canary).f_flag & inherited:
        pytest.skip(f"the volume's own file system is mounted {name.split()[1]}: see findmnt -T {tampered.canary}")
    tampered.set(words)
    tampered.expect_caught(tampered.run(*flags), pattern)
    tampered.expect_untampered()


@pytest.mark.skipif(UNIFIED, reason="this host has cgroup2 alone: there is no group of version 1 to be put into")
def test_group_of_version_1(tampered):
    tampered.set("v1_group")
    tampered.expect_caught(tampered.run(), r"attestation: cgroup\.[a-z]+ was to be")


LIMITS = {
    "memory": (["-m", "64m"], "memory.max" if UNIFIED else "memory.limit_in_bytes", 33554432, "limits.memory"),
    "pids": (["--pids-limit", "100"], "pids.max", 200, "limits.pids"),
    "cpu": (["--cpus", "0.5"], "cpu.max" if UNIFIED else "cpu.cfs_quota_us", 70000, "limits.cpuQuotaPerSecUsec"),
}


@pytest.mark.parametrize("controller", [pytest.param(c, marks=pytest.mark.needs(c)) for c in LIMITS])
def test_limits(make_daemon, scratch, tmp_path, controller):
    """Changed after the daemon has written it and read it back: only attestation can see that."""
    flags, file, value, control = LIMITS[controller]
    step = tmp_path / "step"
    step.write_text("")
    environment = {"LD_PRELOAD": str(LIBRARY), "KENNEL_TAMPER": str(step), "KENNEL_TAMPER_LIMIT": file}
    scratch.chmod(0o777)
    t = Tampered(make_daemon(environment=environment), step, scratch)
    t.set("limit", value)
    found = value * 10 if controller == "cpu" else value
    t.expect_caught(t.run(*flags), attestation(control, found))
    t.expect_untampered()


@pytest.mark.skipif(label_reason() is not None, reason=str(label_reason()))
def test_label(tampered):
    tampered.set("label")
    if pathlib.Path("/sys/fs/selinux/enforce").exists():  # the policy lets the daemon's own domain execute nothing of an image's
        tampered.expect_caught(tampered.run(), "cannot be executed: /bin/sh: Permission denied", code=126)
    else:
        tampered.expect_caught(tampered.run(), "attestation: apparmorLabel was to be|apparmor: ")
    tampered.expect_untampered()


def test_program_of_exec(tampered):
    """What is brought in later is held to the same, against the first process's namespaces."""
    container = tampered.daemon.start_container("-v", f"{tampered.canary}:/canary")
    script = "echo ran >/canary/ran"

    def run_exec():
        return tampered.daemon.kennel("exec", container, "/bin/sh", "-c", script)

    for step, pattern in (
        ("bounding", attestation("capBounding", LEFT)),
        ("seccomp", attestation("seccompMode", "[0-9]+")),
        ("close_range", attestation("descriptors", "0 1 2 [0-9 ]+")),
        ("oom_score", attestation("oomScoreAdj", "-?[0-9]+")),
        ("cgroup", attestation("cgroup")),
        ("groups", "attestation: groups was to be"),
    ):
        tampered.set(step)
        result = run_exec()
        assert result.code == 125 and re.search(pattern, result.stderr), (step, result)
        assert not tampered.has_run()
    tampered.set()
    assert run_exec().code == 0 and tampered.has_run()
    assert [p["pid"] for p in tampered.daemon.call("Processes", container=container)["processes"]] == [1]
    tampered.daemon.kennel("rm", "-f", container).ok()


# --- the program has run nothing -----------------------------------------------------------------------------------------


def status_of(pid):
    with contextlib.suppress(OSError):
        return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return {}


def held_children(daemon):
    """Host pids of the daemon's children that a tracer holds."""
    found = []
    for task in pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(p) for p in (task / "children").read_text().split()]
    return [p for p in found if status_of(p).get("State", "").startswith("t") and status_of(p).get("Name") != "(kennel)"]


def entry_of(pid):
    """Address of the first instruction: of the dynamic loader where there is one."""
    first = {}
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[5].startswith("/") and fields[2] == "00000000":
            first.setdefault(fields[5], int(fields[0].split("-")[0], 16))
    loaders = [path for path in first if "/ld-" in path or "/ld." in path]
    (path,) = loaders or list(first)
    header = pathlib.Path(f"/proc/{pid}/root{path}").read_bytes()[:64]
    kind, entry = struct.unpack_from("<H", header, 16)[0], struct.unpack_from("<Q", header, 24)[0]
    return entry + (first[path] if kind == 3 else 0)  # ET_DYN


@pytest.fixture
def gate(tampered, tmp_path):
    path = tmp_path / "gate"
    os.mkfifo(path)
    tampered.set("gate", path)
    return path


def open_gate(path):
    os.close(os.open(path, os.O_WRONLY))


@pytest.mark.parametrize("flags", [[], ["--init"]], ids=["program", "init"])
def test_held_at_the_first_instruction(tampered, gate, flags):
    client = tampered.daemon.popen(*tampered.arguments(*flags))
    (pid,) = wait_for(lambda: held_children(tampered.daemon), "the process that is held")
    status = status_of(pid)
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
    # The name is the program's, the instruction pointer at its entry, nothing was mapped or opened since.
    if not flags:
        assert status["Name"] == "sh"
        instruction = pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[-1]
        assert int(instruction, 16) == entry_of(pid)
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
    assert not tampered.has_run()
    assert client.poll() is None
    tampered.set()
    open_gate(gate)
    out, err = client.communicate(timeout=PATIENCE)
    assert client.returncode == 0, (out, err)
    assert tampered.has_run()


def test_held_process_dies_with_the_daemon(make_daemon, scratch, tmp_path):
    step, gate = tmp_path / "step", tmp_path / "gate"
    os.mkfifo(gate)
    step.write_text(f"gate {gate}")
    scratch.chmod(0o777)
    d = make_daemon(environment={"LD_PRELOAD": str(LIBRARY), "KENNEL_TAMPER": str(step)})
    t = Tampered(d, step, scratch)
    client = d.popen(*t.arguments())
    (pid,) = wait_for(lambda: held_children(d), "the process that is held")
    pidfd = os.pidfd_open(pid)
    d.terminate(signal.SIGKILL, expected=-9)
    with contextlib.closing(os.fdopen(pidfd)):
        wait_for(lambda: not status_of(pid) or status_of(pid)["State"].startswith("Z"), "the held process to die")
    client.communicate(timeout=PATIENCE)
    step.write_text("")
    d.start()
    assert not t.has_run()
    wait_for(lambda: not list((d.state / "containers").iterdir()), "the record to go: it was to be removed at its end")
    assert d.containers() == []
    d.check_nothing_left()


def test_signals_on_the_way_are_handed_on(kennel):
    """Who is in the container may signal what is being brought in: that comes through all the same."""
    container = kennel.start_container(command=("sh", "-c", "while :; do kill -WINCH -1; kill -STOP -1; kill -CONT -1; done"))
    for _ in range(50):
        assert kennel.kennel("exec", container, "true").code == 0


def test_killed_on_the_way(kennel):
    """What is killed before it has executed its program is an error, and what is killed after it an exit: never a wait."""
    container = kennel.start_container(command=("sh", "-c", "while :; do kill -KILL -1; done"))
    codes = {kennel.kennel("exec", container, "sleep", "60").code for _ in range(50)}
    assert codes <= {125, 126, 137}, codes
