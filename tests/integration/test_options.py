# SPDX-License-Identifier: LGPL-2.1-or-later
"""The flags of `kennel run`, one by one: that each does what it says, and only that."""

import json
import os
import pathlib
import re
import socket

import pytest
from kenneld import host_pids_of, wait_for


def test_environment(kennel, scratch):
    (scratch / "env").write_text("# a comment\nFROM_FILE=1\nEMPTY=\n\nSPACES=a b  c\n")
    out = kennel.run("-e", "A=1", "--env", "B=x=y", "--env-file", scratch / "env", "-e", "FROM_FILE=2", "--", "env").ok()
    environment = dict(line.split("=", 1) for line in out.splitlines())
    assert {k: environment[k] for k in ("A", "B", "FROM_FILE", "EMPTY", "SPACES")} == {
        "A": "1",
        "B": "x=y",
        "FROM_FILE": "2",
        "EMPTY": "",
        "SPACES": "a b  c",
    }
    assert {"PATH", "HOME", "HOSTNAME"} <= set(environment)
    assert "KENNEL_SOCKET" not in environment and "NOTIFY_SOCKET" not in environment


def test_the_clients_and_the_daemons_environment_stay_outside(kennel):
    out = kennel.run("--", "env", env={**os.environ, "SECRET_OF_THE_CLIENT": "1"}).ok()
    assert "SECRET" not in out
    names = {line.split("=")[0] for line in out.splitlines()}
    assert names <= {"PATH", "HOME", "HOSTNAME", "TERM", "_", "PWD", "SHLVL", "container"}, names


def test_environment_from_the_clients_own_by_name(kennel):
    assert kennel.run("-e", "MINE", "--", "/bin/sh", "-c", "echo $MINE", env={**os.environ, "MINE": "7"}).ok() == "7\n"


def test_working_directory(kennel):
    assert kennel.run("-w", "/usr/share", "--", "pwd").ok() == "/usr/share\n"
    result = kennel.run("-w", "/no/such", "--", "pwd")
    assert result.code == 125 and "/no/such" in result.stderr


def test_user(kennel):
    assert kennel.run("-u", "1000", "--", "/bin/sh", "-c", "id -u; id -G").ok().split()[0] == "1000"
    out = kennel.run("-u", "1000:2000", "--", "cat", "/proc/self/status").ok()
    assert re.search(r"^Uid:\s+1000\s+1000\s+1000\s+1000$", out, re.M)
    assert re.search(r"^Gid:\s+2000\s+2000\s+2000\s+2000$", out, re.M)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert re.search(rf"^{name}:\s+0+$", out, re.M)


@pytest.mark.parametrize("user", ["", "-1", "0x0", "1000junk", "65536", "4294967295", "1:", ":1", " 0", "0 ", "+0"])
def test_user_is_read_strictly(kennel, user):
    result = kennel.run("-u", user, "--", "id")
    assert result.code == 125, result
    assert "user" in result.stderr


def test_hostname(kennel):
    assert kennel.run("--hostname", "kennel-test", "--", "hostname").ok() == "kennel-test\n"
    assert kennel.run("--name", "by-name", "--", "hostname").ok() == "by-name\n"
    assert kennel.run("--hostname", "kennel-test", "--", "printenv", "HOSTNAME").ok() == "kennel-test\n"


def test_read_only(kennel):
    result = kennel.run("--read-only", "--", "/bin/sh", "-c", "for d in / /etc /var /tmp; do (: >$d/x) 2>&1; done; :")
    assert result.ok().count("Read-only") >= 3


def test_tmpfs(kennel):
    script = "stat -f -c %T /mnt; df -k /mnt | tail -1; head -c 5000000 /dev/zero >/mnt/x; ls -l /mnt/x"
    result = kennel.run("--read-only", "--tmpfs", "/mnt:size=4M", "--", "/bin/sh", "-c", script)
    assert "tmpfs" in result.stdout and " 4096 " in result.stdout
    assert "No space left" in result.stderr
    assert kennel.run("--tmpfs", "/mnt", "--", "stat", "-c", "%a", "/mnt").ok() == "1777\n"


def test_volume(kennel, scratch):
    (scratch / "in").write_text("from the host\n")
    out = kennel.sh("cat /data/in; echo back >/data/out; grep ' /data ' /proc/self/mountinfo", "-v", f"{scratch}:/data")
    assert out.startswith("from the host\n")
    assert {"nosuid", "nodev", "rw"} <= set(out.splitlines()[-1].split()[5].split(","))
    assert (scratch / "out").read_text() == "back\n"
    assert (scratch / "out").stat().st_uid == 0


def test_volume_read_only(kennel, scratch):
    (scratch / "in").write_text("x")
    result = kennel.run("-v", f"{scratch}:/data:ro", "--", "/bin/sh", "-c", "echo y >/data/in || echo z >/data/new")
    assert result.code != 0 and result.stderr.count("Read-only") == 2
    assert (scratch / "in").read_text() == "x"


def test_volume_of_a_file_on_a_made_target(kennel, scratch):
    (scratch / "in").write_text("only this\n")
    (scratch / "other").write_text("not this\n")
    assert kennel.sh("cat /a/b/c; ls /a/b", "-v", f"{scratch}/in:/a/b/c").splitlines() == ["only this", "c"]


def test_volume_keeps_its_mounts_out_of_the_host(kennel, scratch):
    before = pathlib.Path("/proc/self/mountinfo").read_text()
    container = kennel.start_container("-v", f"{scratch}:/data", "--tmpfs", "/data/inner")
    assert pathlib.Path("/proc/self/mountinfo").read_text() == before
    assert kennel.kennel("exec", container, "stat", "-f", "-c", "%T", "/data/inner").ok() == "tmpfs\n"


def test_volume_that_is_missing(kennel):
    result = kennel.run("-v", "/no/such/place:/data", "--", "true")
    assert result.code == 125 and "/no/such/place" in result.stderr


def test_volume_target_through_a_link_stays_inside(kennel, busybox_root, scratch):
    root = scratch / "root"
    os.system(f"cp -a {busybox_root} {root}")
    (scratch / "host").mkdir()
    (root / "out").symlink_to(f"{scratch}/host")
    (root / "up").symlink_to("../../../../../../../../tmp")
    (scratch / "data").mkdir()
    for target in ("/out/x", "/up/planted-by-a-volume"):
        result = kennel.run("--rootfs", root, "-v", f"{scratch}/data:{target}", "--", "true")
        assert result.code in (0, 125)
    assert list((scratch / "host").iterdir()) == []
    assert not pathlib.Path("/tmp/planted-by-a-volume").exists()


def test_ulimit(kennel):
    out = kennel.run("--ulimit", "nofile=100:200", "--ulimit", "cpu=60", "--", "/bin/sh", "-c", "ulimit -n; ulimit -Hn; ulimit -t")
    assert out.ok().split() == ["100", "200", "60"]
    assert kennel.run("--ulimit", "nosuch=1", "--", "true").code == 125


def test_capabilities_added_and_dropped(kennel):
    def effective(*flags):
        out = kennel.run(*flags, "--", "grep", "CapEff", "/proc/self/status").ok()
        return int(out.split()[1], 16)

    assert effective("--cap-add", "NET_BIND_SERVICE") == 1 << 10
    assert effective("--cap-add", "cap_chown", "--cap-add", "KILL") == 1 << 0 | 1 << 5
    system = effective("--cap-add", "system")
    assert system == sum(1 << c for c in (0, 1, 3, 4, 5, 6, 7, 10, 18, 31))
    assert effective("--cap-add", "system", "--cap-drop", "SYS_CHROOT") == system & ~(1 << 18)
    assert effective("--cap-drop", "all") == 0


def test_capabilities_of_another_user_are_ambient(kennel):
    out = kennel.run("-u", "1000", "--cap-add", "NET_BIND_SERVICE", "--", "grep", "^Cap", "/proc/self/status").ok()
    assert {line.split()[1] for line in out.splitlines()} == {f"{1 << 10:016x}"}


def test_ping_and_low_ports_need_what_they_need(kennel):
    bind = ("python3", "-c", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 80)); print('bound')")
    assert kennel.run("-u", "1000", "--cap-add", "NET_BIND_SERVICE", "--", *bind).ok() == "bound\n"


@pytest.mark.needs("memory")
def test_memory_limit_is_in_force(kennel):
    script = "a = bytearray(200 * 1024 * 1024); print(len(a))"
    result = kennel.kennel("run", "--name", "eater", "-m", "64M", "--", "python3", "-c", script)
    assert result.code == 137
    assert kennel.inspect("eater")["container"]["exit"]["oomKilled"] is True
    assert kennel.run("-m", "400M", "--", "python3", "-c", script).ok() == "209715200\n"


def test_memory_limit_without_the_controller_is_refused(kennel):
    if pathlib.Path("/sys/fs/cgroup/memory").is_dir() or "memory" in (
        pathlib.Path("/sys/fs/cgroup/cgroup.controllers").read_text()
    ):
        pytest.skip("this host has the memory controller")
    result = kennel.run("-m", "64M", "--", "true")
    assert result.code == 125 and "memory" in result.stderr


@pytest.mark.needs("pids")
def test_pids_limit_is_in_force(kennel):
    script = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done"
    result = kennel.run("--pids-limit", "16", "--", "/bin/sh", "-c", script)
    assert result.code != 0 and "fork" in result.stderr.lower()


@pytest.mark.needs("pids")
def test_pids_default_stops_a_fork_bomb(kennel):
    program = """
import os, time
n = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(1000)
        n += 1
except OSError as e:
    print(n, e.errno)
"""
    n, error = map(int, kennel.run("--", "python3", "-c", program).ok().split())
    assert n == 1023 and error == 11


@pytest.mark.needs("cpu")
def test_cpus_limit_is_in_force(kennel):
    program = """
import time
end, begin = time.monotonic() + 1.0, time.process_time()  # what it took to get here is no part of it
while time.monotonic() < end: pass
print(time.process_time() - begin)
"""
    assert float(kennel.run("--cpus", "0.2", "--", "python3", "-c", program).ok()) < 0.5


@pytest.mark.needs("pids", "cpu")
def test_limits_are_written_and_read_back(kennel):
    container = kennel.start_container("--cpus", "1.5", "--pids-limit", "77")
    limits = kennel.inspect(container)["limits"]
    assert (limits["cpuQuotaPerSecUsec"], limits["pids"]) == (1500000, 77)
    sample = kennel.call("Stats", containers=[container])["samples"][0]
    assert sample["pids"]["limit"] == 77 and sample["pids"]["current"] == 1


def profile(scratch, text):
    path = scratch / "profile.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return f"seccomp={path}"


def test_seccomp_profile_of_podman_unchanged(kennel):
    path = "/usr/share/containers/seccomp.json"
    out = kennel.run("--security-opt", f"seccomp={path}", "--", "grep", "Seccomp:", "/proc/self/status").ok()
    assert out.split()[1] == "2"
    assert kennel.run("--security-opt", f"seccomp={path}", "--", "python3", "-c", "print(1)").ok() == "1\n"


def test_seccomp_profile_of_ones_own(kennel, scratch):
    deny = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }
    result = kennel.run("--security-opt", profile(scratch, deny), "--", "mkdir", "/tmp/x")
    assert "No space left" in result.stderr


def test_seccomp_profile_cannot_open_the_terminal_calls(kennel, scratch, probe):
    allow = profile(scratch, {"defaultAction": "SCMP_ACT_ALLOW"})
    out = kennel.run("--security-opt", allow, "-v", f"{probe}:/mnt:ro", "--", "/mnt/probe", "tiocsti").ok()
    assert {line.split()[1] for line in out.splitlines()} <= {"EPERM"}, out


def test_seccomp_unconfined_is_shown(kennel):
    container = kennel.start_container("--security-opt", "seccomp=unconfined")
    assert "unconfined" in kennel.inspect(container)["seccomp"]


def test_network_host_is_the_hosts(kennel):
    out = kennel.run("--network", "host", "--", "readlink", "/proc/self/ns/net").ok()
    assert out.strip() == os.readlink("/proc/self/ns/net")
    assert kennel.run("--network", "none", "--", "readlink", "/proc/self/ns/net").ok() != out


def test_network_of_another_kind_is_refused(kennel):
    result = kennel.run("--network", "nonsense", "--", "true")
    assert result.code == 125 and "nonsense" in result.stderr


def test_abstract_sockets_of_the_host_are_out_of_reach(kennel):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("\0kennel-test-canary")
        s.listen()
        program = "import socket; socket.socket(socket.AF_UNIX).connect('\\0kennel-test-canary')"
        assert kennel.run("--", "python3", "-c", program).code == 1


def test_killed_group_is_empty_at_once(kennel):
    container = kennel.start_container(command=("/bin/sh", "-c", "for i in 1 2 3 4 5; do sleep 1000 & done; wait"))
    wait_for(lambda: len(host_pids_of(container)) == 6, "six processes")
    kennel.kennel("kill", container).ok()
    kennel.wait_exited(container)
    assert host_pids_of(container) == []
