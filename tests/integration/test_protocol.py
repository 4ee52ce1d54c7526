# SPDX-License-Identifier: LGPL-2.1-or-later
"""The socket itself, by a client that shares no code with Kennel."""

import json
import os
import select
import socket
import struct
import threading
import time

import pytest
from kenneld import INTERFACE, INTERFACE_FILE, PATIENCE, SLOWNESS, host_pids_of, read_terminal, wait_for
from varlink import Closed, Connection, Interface, VarlinkError

CALL_MAX = 1024 * 1024


def pipes(n):
    return [os.pipe() for _ in range(n)]


def test_get_info(kennel):
    with kennel.connect() as c:
        info = c.call("org.varlink.service.GetInfo")
    assert set(info) == {"vendor", "product", "version", "url", "interfaces"}
    assert "io.kennel" in info["interfaces"] and "org.varlink.service" in info["interfaces"]


def test_interface_description_is_the_file(kennel):
    with kennel.connect() as c:
        text = c.call("org.varlink.service.GetInterfaceDescription", interface="io.kennel")["description"]
        assert text == INTERFACE_FILE.read_text()
        service = c.call("org.varlink.service.GetInterfaceDescription", interface="org.varlink.service")["description"]
    assert set(Interface(text).methods) == set(INTERFACE.methods)
    assert set(Interface(service).methods) == {"GetInfo", "GetInterfaceDescription"}


@pytest.mark.parametrize(
    "method,parameters,error",
    [
        ("org.varlink.service.GetInterfaceDescription", {"interface": "no.such"}, "InterfaceNotFound"),
        ("no.such.Method", {}, "InterfaceNotFound"),
        ("io.kennel.NoSuch", {}, "MethodNotFound"),
        ("org.varlink.service.NoSuch", {}, "MethodNotFound"),
    ],
)
def test_standard_errors(kennel, method, parameters, error):
    with kennel.connect() as c:
        with pytest.raises(VarlinkError) as e:
            c.call(method, **parameters)
        assert e.value.name == f"org.varlink.service.{error}"
        assert c.call("List") == {"containers": []}


def test_run_with_three_descriptors(kennel):
    (in_r, in_w), (out_r, out_w), (err_r, err_w) = pipes(3)
    with kennel.connect() as c:
        command = ["/bin/sh", "-c", "read x; echo out-$x; echo err-$x >&2; exit 3"]
        c.send("Run", {"command": command, "stdin": 0, "stdout": 1, "stderr": 2, "remove": True}, [in_r, out_w, err_w], more=True)
        for fd in (in_r, out_w, err_w):
            os.close(fd)
        first, continues = c.receive("Run")
        assert continues and first["container"]["state"] == "running"
        os.write(in_w, b"hello\n")
        last, continues = c.receive("Run")
        assert not continues
        assert last["container"]["exit"]["code"] == 3
    with os.fdopen(out_r) as out, os.fdopen(err_r) as err:
        assert (out.read(), err.read()) == ("out-hello\n", "err-hello\n")
    os.close(in_w)


def test_run_with_a_root_by_descriptor(kennel, busybox_root):
    root = os.open(busybox_root, os.O_PATH | os.O_DIRECTORY)
    out_r, out_w = os.pipe()
    with kennel.connect() as c:
        c.send("Run", {"command": ["ls", "/"], "rootfs": 1, "stdout": 0, "remove": True}, [out_w, root], more=True)
        os.close(out_w)
        os.close(root)
        assert [c.receive("Run")[1] for _ in range(2)] == [True, False]
    with os.fdopen(out_r) as out:
        assert "etc" in out.read().split()


def test_run_with_a_terminal_gives_its_master(kennel):
    with kennel.connect() as c:
        stream = c.stream("Run", command=["/bin/sh", "-c", "stty size; exit 2"], terminal={"rows": 12, "columns": 34}, remove=True)
        first = next(stream)
        assert first["terminal"] == 0 and len(c.fds) == 1
        assert read_terminal(c.fds[0]) == b"12 34\r\n"
        assert next(stream)["container"]["exit"]["code"] == 2


def test_without_descriptors_everything_works(kennel):
    with kennel.connect() as c:
        container = c.call("Run", command=["/bin/sh", "-c", "echo text; exit 6"])["container"]["id"]
        kennel.ids.add(container)
        assert c.call("Wait", container=container)["exit"]["code"] == 6
        entries = [r["entry"] for r in c.stream("Logs", container=container) if r.get("entry")]
        assert [e["text"] for e in entries] == ["text"]
        c.call("Remove", container=container)


def test_a_call_that_is_closed_ends_its_container(kennel):
    with kennel.connect() as c:
        container = next(c.stream("Run", command=["sleep", "1000"]))["container"]["id"]
        kennel.ids.add(container)
        assert host_pids_of(container)
    assert kennel.wait_exited(container)["signal"] == "KILL"


def test_detach_ends_the_call_and_not_the_container(kennel):
    with kennel.connect() as c:
        stream = c.stream("Run", command=["sleep", "1000"])
        container = next(stream)["container"]["id"]
        kennel.ids.add(container)
        kennel.call("Detach", container=container)
        last = list(stream)
        assert len(last) == 1 and last[0]["container"]["state"] == "running"
    assert kennel.inspect(container)["container"]["state"] == "running"


def test_null_is_absence(kennel):
    reply = kennel.call("Stats", containers=None, intervalUsec=None)
    assert reply == {"samples": [], "complete": True}
    container = kennel.call("Run", command=["sleep", "1000"], name=None, limits={"memory": None}, env=None)["container"]
    assert container["name"] == container["id"][:12]


def test_replies_come_in_the_order_of_the_calls(kennel):
    container = kennel.start_container(command=("sleep", "0.3"))
    with kennel.connect() as c:
        for method, parameters in (("Wait", {"container": container}), ("List", {}), ("Info", {})):
            c.send(method, parameters)
        assert "exit" in c.receive("Wait")[0]
        assert "containers" in c.receive("List")[0]
        assert "kernel" in c.receive("Info")[0]


def test_oneway_gets_no_reply(kennel):
    with kennel.connect() as c:
        c.send("List", {}, oneway=True)
        c.send("Info", {}, oneway=True)
        assert "version" in c.call("Info")


def test_streams_need_more(kennel):
    for method, parameters in (("Events", {}), ("Logs", {"container": kennel.start_container()})):
        with kennel.connect() as c, pytest.raises(VarlinkError):
            c.call(method, **parameters)


def test_message_in_single_bytes(kennel):
    with kennel.connect() as c:
        for byte in b'{"method":"io.kennel.List"}\0':
            c.send_bytes(bytes([byte]))
        assert c.receive("List")[0] == {"containers": []}


def test_many_messages_in_one_write(kennel):
    with kennel.connect() as c:
        c.send_bytes(b'{"method":"io.kennel.List"}\0' * 12)
        for _ in range(12):
            assert c.receive("List")[0] == {"containers": []}


def test_pipeline_beyond_its_bound_is_not_lost_or_is_refused(kennel):
    with kennel.connect() as c:
        c.send_bytes(b'{"method":"io.kennel.List"}\0' * 1000)
        try:
            for _ in range(1000):
                assert c.receive("List")[0] == {"containers": []}
        except (VarlinkError, Closed):
            pass
    kennel.call("List")


def test_message_of_the_greatest_size_and_one_more(kennel):
    message = {"method": "io.kennel.Run", "parameters": {"command": ["true"], "env": []}}
    room = CALL_MAX - len(json.dumps(message))
    message["parameters"]["env"] = ["A=" + "x" * 4000] * (room // 4006)
    text = json.dumps(message).encode()
    text += b" " * (CALL_MAX - len(text))
    with kennel.connect() as c:
        c.send_bytes(text + b"\0")
        kennel.ids.add(c.receive("Run")[0]["container"]["id"])
    with kennel.connect() as c:
        with pytest.raises((VarlinkError, Closed, BrokenPipeError, ConnectionResetError)) as e:
            c.send_bytes(text + b" \0")
            c.receive()
        if e.type is VarlinkError:
            assert e.value.short == "MalformedMessage"


def test_half_a_message_does_not_stay_for_ever(make_daemon, kennel):
    """The bound is 10 s: the connection ends, and meanwhile others are served."""
    with kennel.connect(timeout=10 + PATIENCE) as c:
        c.send_bytes(b'{"method":"io.kennel.Li')
        begin = time.monotonic()
        for _ in range(5):
            kennel.call("List")
        with pytest.raises((Closed, VarlinkError)):
            c.receive()
        assert 5 < time.monotonic() - begin < 10 + 8 * SLOWNESS


def test_a_slow_reader_is_dropped_and_costs_nothing(kennel):
    container = kennel.start_container(command=("/bin/sh", "-c", "seq 1 400000"))
    kennel.wait_exited(container)
    slow = kennel.connect()
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.send("Logs", {"container": container, "follow": True}, more=True)
    before = resident(kennel.process.pid)
    for _ in range(20):
        kennel.call("List")
    assert resident(kennel.process.pid) - before < 64 * 2**20
    slow.close()
    kennel.call("List")


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def test_connections_per_uid_are_bounded(kennel):
    """Those above the bound are turned away, those below are served, and room comes back."""
    connections = []
    try:
        served = 0
        for _ in range(300):
            connections.append(kennel.connect(timeout=5 * SLOWNESS))
            try:
                connections[-1].call("List")
                served += 1
            except (Closed, VarlinkError, ConnectionError):
                break
        assert 100 <= served <= 256
        connections[0].call("List")
    finally:
        for c in connections:
            c.close()
    wait_for(lambda: answers(kennel), "room for a connection")


def answers(kennel):
    try:
        kennel.call("List")
        return True
    except (Closed, VarlinkError, ConnectionError):
        return False


def test_descriptors_are_closed_whatever_happens(kennel):
    def open_descriptors():
        return len(os.listdir(f"/proc/{kennel.process.pid}/fd"))

    kennel.call("List")
    before = open_descriptors()
    r, w = os.pipe()
    for parameters in ({"command": ["true"]}, {"command": []}, {"command": ["true"], "stdout": 5}, {"stdout": 0}):
        for _ in range(5):
            with kennel.connect() as c, pytest.raises(VarlinkError):
                c.call("Run", [r, w, r], **parameters)
    with kennel.connect() as c:
        c.send_bytes(b"{", [r, w])
    os.close(w)
    assert select.select([r], [], [], PATIENCE)[0] and os.read(r, 1) == b"", "the daemon still holds our pipe"
    os.close(r)
    wait_for(lambda: open_descriptors() <= before, "the daemon's descriptors to be as before")


def test_a_peer_that_is_neither_root_nor_of_the_group_is_refused(kennel):
    """The socket's mode keeps others out; where it is open to them, SO_PEERCRED does."""
    os.chmod(kennel.socket, 0o666)
    result = []

    def as_nobody():
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                try:
                    with Connection(kennel.socket) as c:
                        c.call("List")
                    code = 2
                except VarlinkError as e:
                    code = 0 if e.short == "PermissionDenied" else 3
                except (Closed, ConnectionError):
                    code = 0
            finally:
                os._exit(code)
        result.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    t = threading.Thread(target=as_nobody)
    t.start()
    t.join()
    os.chmod(kennel.socket, 0o660)
    assert result == [0]


def test_abrupt_end_with_unread_replies(kennel):
    for _ in range(20):
        c = kennel.connect()
        for _ in range(10):
            c.send("Info", {})
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
    kennel.call("List")
