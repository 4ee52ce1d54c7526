# SPDX-License-Identifier: LGPL-2.1-or-later
"""`kennel run`: output, input, exit codes, signals, and what happens when the client goes away."""

import hashlib
import os
import re
import signal
import subprocess

import pytest
from kenneld import PATIENCE, SANITIZED, SLOWNESS, host_pids_of, wait_for


def test_id_is_root_inside(kennel):
    assert kennel.run("--", "id").ok().startswith("uid=0(root) gid=0(root)")


def test_command_without_double_dash(kennel):
    assert kennel.run("echo", "-n", "--rm", "x").ok() == "--rm x"


@pytest.mark.parametrize("code", [0, 1, 7, 124, 125, 200, 255])
def test_exit_code_is_the_payloads(kennel, code):
    assert kennel.run("--", "/bin/sh", "-c", f"exit {code}").code == code


@pytest.mark.parametrize("name,number", [("KILL", 9), ("TERM", 15), ("SEGV", 11), ("USR1", 10)])
def test_killed_by_signal_is_128_more(kennel, name, number):
    # The shell kills a child and passes the code on: pid 1 itself is deaf to signals from within its namespace.
    result = kennel.run("--init", "--", "/bin/sh", "-c", f"kill -{name} $$")
    assert result.code == 128 + number


def test_program_that_does_not_exist_is_127(kennel):
    for command in ("/no/such/program", "no-such-program"):
        result = kennel.run("--", command)
        assert result.code == 127
        assert "no" in result.stderr and command in result.stderr


def test_program_that_cannot_be_run_is_126(kennel):
    for command in ("/etc/passwd", "/usr"):
        result = kennel.run("--", command)
        assert result.code == 126, result
        assert command in result.stderr


def test_kennels_own_error_is_125(kennel):
    assert kennel.run("-m", "1", "--", "true").code == 125
    assert kennel.run("--no-such-flag", "--", "true").code == 125
    assert kennel.kennel("run").code == 125


def test_no_daemon_is_125_and_names_the_socket(kennel):
    result = kennel.kennel("--socket", "/nonexistent/socket", "run", "--", "true")
    assert result.code == 125
    assert "/nonexistent/socket" in result.stderr


def test_socket_from_environment(kennel):
    out = subprocess.run(
        [kennel.client_command()[0], "ps", "-q"], env={**os.environ, "KENNEL_SOCKET": str(kennel.socket)}, check=True
    )
    assert out.returncode == 0


def test_stderr_is_apart_from_stdout(kennel):
    result = kennel.run("--", "/bin/sh", "-c", "echo out; echo err >&2")
    assert (result.ok(), result.stderr) == ("out\n", "err\n")


def test_stdin_is_empty_without_i(kennel):
    assert kennel.run("--", "wc", "-c", input=b"never seen").ok().strip() == "0"


def test_stdin_with_i(kennel):
    assert kennel.run("-i", "--", "cat", input=b"a\0b\xff\n").stdout_bytes == b"a\0b\xff\n"


def test_100_mb_through_stdin_arrive_unchanged(kennel):
    size = 10 if SANITIZED or SLOWNESS > 1 else 100
    script = (
        f"head -c {size}M /dev/urandom | tee >(sha256sum >&3) | "
        f"{' '.join(kennel.client_command())} run --rm -i -- sha256sum"
    )
    read, write = os.pipe()
    with os.fdopen(read) as expected:
        out = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"exec 3>&{write}; {script}"],
            pass_fds=[write],
            check=True,
            capture_output=True,
            text=True,
        )
        os.close(write)
        assert out.stdout == expected.read()


def test_large_output_arrives_unchanged(kennel):
    out = kennel.run("--", "/bin/sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x").stdout_bytes
    assert hashlib.sha256(out).digest() == hashlib.sha256(b"x" * 20000000).digest()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_forwarded(kennel, sig):
    script = "trap 'echo got TERM; exit 3' TERM; trap 'echo got INT; exit 3' INT; echo ready; while :; do sleep 0.01; done"
    client = kennel.popen("run", "--rm", "--", "/bin/sh", "-c", script)
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(sig)
    out, err = client.communicate(timeout=PATIENCE)
    assert (client.returncode, out.decode()) == (3, f"got {sig.name[3:]}\n"), err


def test_client_killed_in_the_middle_leaves_nothing(kennel):
    client = kennel.popen("run", "--rm", "--name", "doomed", "--", "/bin/sh", "-c", "sleep 1000 & echo ready; wait")
    assert client.stdout.readline() == b"ready\n"
    container = kennel.containers()[0]["id"]
    kennel.ids.add(container)
    assert host_pids_of(container)
    client.kill()
    client.communicate()
    wait_for(lambda: kennel.containers() == [], "the container to be removed")
    assert not host_pids_of(container)


def test_client_killed_without_rm_leaves_an_exited_container(kennel):
    client = kennel.popen("run", "--name", "doomed", "--", "/bin/sh", "-c", "echo ready; sleep 1000")
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.communicate()
    assert kennel.wait_exited("doomed")["signal"] == "KILL"
    assert kennel.containers()[0]["state"] == "exited"


def test_detached_prints_the_id(kennel):
    out = kennel.kennel("run", "-d", "--name", "d", "--", "sleep", "1000").ok()
    container = kennel.inspect("d")["container"]
    assert out == container["id"] + "\n"
    assert re.fullmatch(r"[0-9a-f]{12,64}", container["id"])
    assert container["state"] == "running"


def test_detached_with_failure_to_start(kennel):
    result = kennel.kennel("run", "-d", "--", "/no/such/program")
    assert result.code == 127
    assert result.stdout == ""


def test_rm_removes_and_its_absence_keeps(kennel):
    kennel.run("--name", "gone", "--", "true").ok()
    wait_for(lambda: kennel.containers() == [], "the container to be removed")
    kennel.kennel("run", "--name", "kept", "--", "true").ok()
    assert [c["name"] for c in kennel.containers()] == ["kept"]


def test_names_are_unique_and_free_again_after_rm(kennel):
    kennel.start_container("--name", "same")
    result = kennel.kennel("run", "--name", "same", "--", "true")
    assert result.code == 125
    assert "same" in result.stderr
    kennel.kennel("rm", "-f", "same").ok()
    kennel.run("--name", "same", "--", "true").ok()


def test_a_name_is_free_again_once_run_with_rm_has_returned(kennel):
    for _ in range(15):
        kennel.run("--name", "again", "--", "true").ok()


def test_children_die_with_the_first_process(kennel):
    container = kennel.start_container(command=("/bin/sh", "-c", "sleep 1000 & sleep 1000 & exec sleep 0.2"))
    assert kennel.wait_exited(container)["code"] == 0
    assert not host_pids_of(container)


def test_init_reaps_orphans_and_passes_signals(kennel):
    script = (
        "(sleep 0.01 & ) ; sleep 0.2; ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; "
        "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    )
    client = kennel.popen("run", "--rm", "--init", "--", "/bin/sh", "-c", script)
    lines = [client.stdout.readline().decode().strip() for _ in range(3)]
    assert lines[2] == "ready"
    # init, the shell, ls and wc: no zombie
    assert int(lines[0]) <= 4
    client.terminate()
    out, _ = client.communicate(timeout=PATIENCE)
    assert (client.returncode, out) == (5, b"got\n")


def test_many_at_once(kennel):
    clients = [kennel.popen("run", "--rm", "--", "echo", str(i)) for i in range(12)]
    outputs = [c.communicate(timeout=PATIENCE * 3) for c in clients]
    assert [c.returncode for c in clients] == [0] * 12, outputs
    assert [int(out) for out, _ in outputs] == list(range(12))
    wait_for(lambda: kennel.containers() == [], "twelve containers to be removed")


def test_version_and_help(kennel):
    assert re.search(r"\d+\.\d+", kennel.kennel("version").ok())
    assert "run" in kennel.kennel("--help").ok()
    assert "--read-only" in kennel.kennel("run", "--help").ok()
