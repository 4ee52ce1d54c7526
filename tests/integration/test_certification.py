# SPDX-License-Identifier: LGPL-2.1-or-later
"""Varlink as others understand it: Debian's varlink-go against proto/ and against the daemon."""

import os
import shutil
import subprocess

import pytest
from kenneld import BUILD, INTERFACE_FILE, PATIENCE, wait_for

CERTIFICATION_SERVER = BUILD / "tests" / "certification-server"


def test_certification(scratch):
    """proto/ serves org.varlink.certification, and varlink-go's client goes through all its steps."""
    address = scratch / "socket"
    with subprocess.Popen([CERTIFICATION_SERVER, address], stderr=subprocess.PIPE) as server:
        try:
            wait_for(lambda: address.exists() or server.poll() is not None, "the server's socket")
            out = subprocess.run(
                ["varlink-go-certification", "--client", f"--varlink=unix:{address}"],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        finally:
            server.terminate()
            errors = server.stderr.read().decode()
    assert out.returncode == 0 and "failed" not in out.stdout, out.stdout + out.stderr + errors
    steps = [line.split(":")[0] for line in out.stdout.splitlines() if line.startswith(("Start", "Test", "End"))]
    assert steps[0] == "Start" and steps[-1] == "End", out.stdout
    assert {f"Test{i:02}" for i in range(1, 12)} <= {s[:6] for s in steps}, out.stdout
    assert "AddressSanitizer" not in errors and "runtime error" not in errors


@pytest.fixture(scope="module")
def go_client(tmp_path_factory):
    """The Go program of this directory, with bindings generated from the interface file."""
    workspace = tmp_path_factory.mktemp("go")
    package = workspace / "src" / "iokennel"
    package.mkdir(parents=True)
    shutil.copy(INTERFACE_FILE, package)
    out = subprocess.run(
        ["varlink-go-interface-generator", package / INTERFACE_FILE.name], capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stdout + out.stderr
    assert list(package.glob("*.go")), "the generator made nothing"
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOCACHE": str(workspace / "cache"),
        "GOPATH": f"{workspace}:/usr/share/gocode",
    }
    source = INTERFACE_FILE.parents[1] / "tests" / "integration" / "go" / "client.go"
    program = workspace / "client"
    out = subprocess.run(
        ["go", "build", "-o", program, source], capture_output=True, text=True, check=False, env=environment
    )
    assert out.returncode == 0, out.stdout + out.stderr
    return program


def run_go(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def test_go_gets_the_interface_description(kennel, go_client):
    assert run_go(go_client, "describe", f"unix:{kennel.socket}") == INTERFACE_FILE.read_text()


def test_go_calls_list(kennel, go_client):
    kennel.start_container("--name", "one")
    kennel.kennel("run", "--name", "two", "--", "true").ok()
    assert run_go(go_client, "list", f"unix:{kennel.socket}") == "one running\ntwo exited\n"


def test_go_streams_events(kennel, go_client):
    with subprocess.Popen(
        [go_client, "events", f"unix:{kennel.socket}", "4"], stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout.readline() == "following\n"
        kennel.call("Info")
        # The call was sent before "following" was printed; Info came after it and has been answered.
        kennel.run("--name", "seen", "--", "true").ok()
        assert client.stdout.read().split("\n")[:4] == [
            f"{kind} seen" for kind in ("created", "started", "exited", "removed")
        ]
        assert client.wait(PATIENCE) == 0
