# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network `bridge`: containers reach neither each other nor the host, false frames arrive nowhere, what is published is
reached, all of it is counted and held to its rate, and nothing is left. All in network namespaces of the tests' own."""

import json
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest
from frames import cookies_for, forged, genuine_to_the_other
from kenneld import PATIENCE, SANITIZED, SLOWNESS, wait_for
from measure import (
    LOAD,
    check_sample,
    events_since,
    hold_to,
    inside,
    now_usec,
    sample_of,
    wait_line,
)
from netns import (
    HOST,
    NEIGHBOUR,
    OTHER,
    Capture,
    Guest,
    Lab,
    NetworkKenneld,
    ethernet,
    icmp6,
    ipv4,
    udp,
)
from varlink import VarlinkError

MEGABYTES_10 = 10_000_000
# What is refused is dropped without an answer, so that nobody learns what is there: a connection that has not come
# about in this time never does. Those that are allowed take less than a millisecond.
DROPPED_MS = 700


@pytest.fixture(scope="module")
def lab():
    l = Lab()
    yield l
    l.close()


@pytest.fixture(scope="module")
def module_daemon(request, lab):
    d = NetworkKenneld(lab).start()
    yield d
    d.stop(keep=request.config.getoption("--keep"))


@pytest.fixture
def network_daemon(request, lab, scratch):
    """Daemons of a test's own on the lab's host."""
    made = []

    def make(**keywords):
        d = NetworkKenneld(lab, pool=f"10.215.{len(made)}.0/24", **keywords)
        made.append(d)
        return d.start()

    yield make
    for d in made:
        d.stop(keep=request.config.getoption("--keep"))


PORTS = iter(range(7000, 8000))


def listening(kennel, load, *flags, port=5000, publish=True):
    """A guest that listens at PORT, TCP and UDP, published at GUEST.port."""
    outside = next(PORTS)
    published = ("-p", f"{outside}:{port}", "-p", f"{outside}:{port}/udp") if publish else ()
    guest = Guest(kennel, *load, *published, *flags, command=(LOAD, "listen", port))
    wait_line(kennel, guest.id, "ready")
    guest.port = outside
    return guest


def connects(kennel, guest, *targets):
    """Which of the targets the guest can connect to."""
    words = inside(kennel, guest.id, "connect", str(DROPPED_MS), *targets)
    said = dict(zip(words[::2], words[1::2]))
    assert set(said) == set(targets), words
    return {target for target, answer in said.items() if answer == "ok"}


# what a container gets ------------------------------------------------------------------------------------------------


def test_address_and_route(kennel, load):
    a, b = Guest(kennel, *load), Guest(kennel, *load)
    assert a.address != b.address and a.gateway == b.gateway == "10.214.0.1"
    for guest in (a, b):
        assert guest.address.startswith("10.214.0.")
        with guest.namespace() as ns:
            addresses = [i["local"] for l in json.loads(ns.ip("-j", "-4", "address")) for i in l["addr_info"]]
            assert sorted(addresses) == sorted(["127.0.0.1", guest.address])
            routes = json.loads(ns.ip("-j", "route"))
            assert [r["gateway"] for r in routes if r["dst"] == "default"] == [guest.gateway]
            assert set(ns.links()) == {"lo", "eth0"}
    shown = kennel.inspect(a.id)
    assert shown["network"] == "bridge" and shown["ports"] == []
    assert kennel.inspect(kennel.start_container())["address"] is None
    assert all(c["passed"] for c in kennel.call("Verify", container=a.id)["checks"])


def test_namespace_is_its_own(kennel, load):
    a, b = Guest(kennel, *load), Guest(kennel, *load)
    namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in (a.pid, b.pid, os.getpid(), kennel.process.pid)}
    assert len(namespaces) == 4


def test_outbound_is_masqueraded(kennel, load):
    guest = Guest(kennel, *load)
    with kennel.lab.neighbour.listen() as listener, kennel.lab.neighbour.listen(socket.SOCK_DGRAM) as datagrams:
        port = listener.getsockname()[1]
        assert connects(kennel, guest, f"{NEIGHBOUR}:{port}") == {f"{NEIGHBOUR}:{port}"}
        connection, peer = listener.accept()
        connection.close()
        assert peer[0] == HOST, "the container's own address is seen nowhere outside"
        inside(kennel, guest.id, "datagrams", NEIGHBOUR, datagrams.getsockname()[1], "1", "100")
        assert datagrams.recvfrom(2000)[1][0] == HOST


def test_without_masquerading_there_is_no_way_out(network_daemon, load):
    daemon = network_daemon(masquerade=False)
    guest = listening(daemon, load)
    with daemon.lab.neighbour.listen() as listener:
        assert connects(daemon, guest, f"{NEIGHBOUR}:{listener.getsockname()[1]}") == set()
    # what was asked for from outside is answered all the same
    assert daemon.lab.neighbour.talk(HOST, guest.port) == "received 1000"
    assert daemon.lab.host.talk("127.0.0.1", guest.port) == "received 1000"


def test_a_host_that_does_not_forward(request):
    """Kennel makes no router of a host that is none: what would need it is refused by name, the rest works."""
    lab = Lab(forwarding=False)
    daemons = [NetworkKenneld(lab, pool=f"10.217.{n}.0/24", masquerade=bool(n)).start() for n in (0, 1)]
    try:
        plain, masquerading = daemons
        guest = Guest(plain, "-p", "127.0.0.1:7000:5000")
        assert plain.kennel("exec", guest.id, "true").code == 0
        for daemon, flags in ((plain, ("-p", "7001:80")), (masquerading, ())):
            result = daemon.run("--network", "bridge", *flags, "--", "true")
            assert result.code == 125 and "ip_forward" in result.stderr, result
        assert lab.host.sysctl("ipv4/ip_forward") == "0"
        for interface in ("all", "uplink"):
            assert lab.host.sysctl(f"ipv4/conf/{interface}/forwarding") == "0"
            assert lab.host.sysctl(f"ipv4/conf/{interface}/route_localnet") == "0"
    finally:
        for d in daemons:
            d.stop(keep=request.config.getoption("--keep"))
        assert lab.host.all() == lab.before
        lab.close()


def test_the_neighbour_cannot_come_in_by_the_containers_address(kennel, load):
    """Who knows the pool and routes it through the host still meets a closed door."""
    guest = listening(kennel, load)
    lab = kennel.lab
    lab.neighbour.ip("route", "replace", f"{guest.address}/32", "via", HOST)
    try:
        with pytest.raises((TimeoutError, OSError)):
            lab.neighbour.talk(guest.address, 5000, timeout=DROPPED_MS / 1000)
        with pytest.raises((TimeoutError, OSError)):
            lab.neighbour.echo(guest.address, 5000, timeout=DROPPED_MS / 1000)
    finally:
        lab.neighbour.ip("route", "del", f"{guest.address}/32")


# ports ----------------------------------------------------------------------------------------------------------------


def test_published_port(kennel, load):
    """Reached from the host by each of its addresses, and from its neighbour."""
    guest = listening(kennel, load)
    lab = kennel.lab
    for address in ("127.0.0.1", HOST, OTHER):
        assert lab.host.talk(address, guest.port) == "received 1000", address
        assert lab.host.echo(address, guest.port) == b"ping", address
    for address in (HOST, OTHER):
        assert lab.neighbour.talk(address, guest.port) == "received 1000", address
        assert lab.neighbour.echo(address, guest.port) == b"ping", address
    assert {(p["host"], p["container"], p.get("protocol") or "tcp") for p in kennel.inspect(guest.id)["ports"]} == {
        (guest.port, 5000, "tcp"),
        (guest.port, 5000, "udp"),
    }


def test_host_reaches_the_container_by_its_address(kennel, load):
    """Answers to what the host began pass: that, and nothing else, is allowed towards it."""
    guest = listening(kennel, load, publish=False)
    assert kennel.lab.host.talk(guest.address, 5000) == "received 1000"
    assert kennel.lab.host.echo(guest.address, 5000) == b"ping"


def test_port_of_one_address(kennel, load):
    port = next(PORTS)
    guest = Guest(kennel, *load, "-p", f"{OTHER}:{port}:5000", command=(LOAD, "listen", "5000"))
    wait_line(kennel, guest.id, "ready")
    assert kennel.lab.host.talk(OTHER, port) == "received 1000"
    assert kennel.lab.neighbour.talk(OTHER, port) == "received 1000"
    for namespace, address in ((kennel.lab.host, "127.0.0.1"), (kennel.lab.host, HOST), (kennel.lab.neighbour, HOST)):
        with pytest.raises((TimeoutError, OSError)):
            namespace.talk(address, port, timeout=DROPPED_MS / 1000)


def test_port_in_use(kennel, load):
    guest = listening(kennel, load)
    with kennel.lab.host.listen() as taken:
        for port in (guest.port, taken.getsockname()[1]):
            ports = [{"host": next(PORTS), "container": 1}, {"host": port, "container": 1}]
            with pytest.raises(VarlinkError) as e:
                kennel.call("Run", command=["true"], network="bridge", ports=ports)
            assert (e.value.short, e.value.parameters["field"]) == ("InvalidSpec", "ports[1].host"), e.value
            assert str(port) in e.value.parameters["reason"]
            result = kennel.run("--network", "bridge", "-p", f"{port}:80", "--", "true")
            assert result.code == 125 and str(port) in result.stderr
    # nothing is left of the one that could have been had
    assert connects_from(kennel.lab.host, ports[0]["host"]) is False
    again = Guest(kennel, "-p", f"{ports[0]['host']}:1")
    # and nobody else gets what is published
    with pytest.raises(OSError):
        kennel.lab.host.listen(port=guest.port)
    kennel.kennel("rm", "-f", guest.id, again.id).ok()
    wait_for(lambda: not kennel.remains(guest.id), "the container to go")
    kennel.lab.host.listen(port=guest.port).close()


def connects_from(namespace, port):
    try:
        namespace.talk("127.0.0.1", port, timeout=DROPPED_MS / 1000)
        return True
    except OSError:
        return False


BAD_PORTS = {
    "without bridge": ((), {"ports": [{"host": 80, "container": 80}]}, "ports"),
    "port 0": (("--network", "bridge"), {"ports": [{"host": 0, "container": 80}]}, "ports[0].host"),
    "port 65,536": (("--network", "bridge"), {"ports": [{"host": 65536, "container": 80}]}, "ports[0].host"),
    "container's port 0": (("--network", "bridge"), {"ports": [{"host": 80, "container": 0}]}, "ports[0].container"),
    "no address": (
        ("--network", "bridge"),
        {"ports": [{"hostAddress": "nonsense", "host": 80, "container": 80}]},
        "ports[0].hostAddress",
    ),
    "too many": (("--network", "bridge"), {"ports": [{"host": 20000 + i, "container": 80} for i in range(65)]}, "ports"),
    "twice": (("--network", "bridge"), {"ports": [{"host": 20000, "container": 80}] * 2}, "ports[1]"),
}


@pytest.mark.parametrize("what", BAD_PORTS)
def test_bad_ports(kennel, what):
    flags, parameters, field = BAD_PORTS[what]
    network = {"network": "bridge"} if flags else {}
    with pytest.raises(VarlinkError) as e:
        kennel.call("Run", command=["true"], **network, **parameters)
    assert e.value.short == "InvalidSpec" and e.value.parameters["field"].startswith(field), e.value
    values = [f"{p.get('hostAddress', '')}:{p['host']}:{p['container']}".lstrip(":") for p in parameters["ports"]]
    result = kennel.run(*flags, *(x for v in values for x in ("-p", v)), "--", "true")
    assert result.code == 125 and ("publish" in result.stderr or "port" in result.stderr), result


MALFORMED_PORTS = {  # and what of it is named
    **{"": "", "80": "80", "80:": '""', ":80": '""', "a:b": "a", "80:80/sctp": "sctp", "1.2.3:80:80": "1.2.3"},
    **{"80:80:80:80": "80:80", "-1:80": "-1", "0x50:80": "0x50", "80:99999": "99999", "::1:80:80": "::1"},
}


@pytest.mark.parametrize("value", MALFORMED_PORTS)
def test_malformed_publish(kennel, value):
    result = kennel.run("--network", "bridge", "-p", value, "--", "true")
    assert result.code == 125 and "publish" in result.stderr and MALFORMED_PORTS[value] in result.stderr, result


# isolation ------------------------------------------------------------------------------------------------------------


def test_containers_do_not_reach_each_other(kennel, load):
    a, b = listening(kennel, load), listening(kennel, load)
    # they are there: the host says so
    for guest in (a, b):
        assert kennel.lab.host.talk(guest.address, 5000) == "received 1000"
    targets = [f"{b.address}:5000", f"{b.address}:22"]
    # nor by what is published, whichever address is tried
    targets += [f"{address}:{b.port}" for address in (a.gateway, HOST, OTHER, b.address)]
    assert connects(kennel, a, *targets) == set()
    with Capture(b.namespace(), "eth0") as seen:
        for address, port in ((b.address, 5000), (a.gateway, b.port), (HOST, b.port), (OTHER, b.port), ("255.255.255.255", 5000)):
            program = (
                "import socket; s = socket.socket(type=socket.SOCK_DGRAM);"
                "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1);"
                f"s.sendto(b'from-the-other', ('{address}', {port}))"
            )
            assert kennel.kennel("exec", a.id, "python3", "-c", program).code in (0, 1)
        assert kennel.lab.host.echo(b.address, 5000, b"from-the-host") == b"from-the-host"
        seen.wait(b"from-the-host")
        assert not any(b"from-the-other" in f for f in seen.frames)


def test_containers_do_not_reach_the_host(kennel, load):
    guest = Guest(kennel, *load)
    lab = kennel.lab
    with lab.host.listen() as everywhere, lab.host.listen(address="127.0.0.1") as local:
        ports = [s.getsockname()[1] for s in (everywhere, local)]
        # it can be reached, by others
        lab.neighbour.new_socket().connect((HOST, ports[0]))
        everywhere.accept()[0].close()
        addresses = (guest.gateway, HOST, OTHER, "127.0.0.1", "127.0.0.2")
        assert connects(kennel, guest, *(f"{a}:{p}" for a in addresses for p in ports)) == set()
        everywhere.settimeout(0)
        with pytest.raises(BlockingIOError):
            everywhere.accept()
    with lab.host.listen(socket.SOCK_DGRAM) as datagrams:
        port = datagrams.getsockname()[1]
        for address in (guest.gateway, HOST, OTHER):
            assert kennel.kennel("exec", guest.id, LOAD, "datagrams", address, port, "1", "100").code in (0, 1)
        with lab.neighbour.new_socket(kind=socket.SOCK_DGRAM) as s:
            s.sendto(b"from-the-neighbour", (HOST, port))
        assert datagrams.recv(2000) == b"from-the-neighbour", "the first that comes is the neighbour's"


def test_no_ipv6(kennel, load):
    """No address, not even of the link; and no way to get one."""
    guest = Guest(kennel, *load, "--cap-add", "NET_ADMIN")
    with guest.namespace() as ns:
        assert [a for l in json.loads(ns.ip("-j", "-6", "address", "show", "dev", "eth0")) for a in l.get("addr_info", [])] == []
        for name in ("all", "default", "eth0"):
            assert ns.sysctl(f"ipv6/conf/{name}/accept_ra") == "0", name
            assert ns.sysctl(f"ipv6/conf/{name}/accept_redirects") == "0", name
        for name in ("all", "eth0"):
            assert ns.sysctl(f"ipv4/conf/{name}/accept_redirects") == "0", name
        assert ns.sysctl("ipv6/conf/eth0/disable_ipv6") == "1"
    result = kennel.kennel("exec", guest.id, "/bin/sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
    assert result.code != 0
    bridge_addresses = json.loads(kennel.lab.host.ip("-j", "-6", "address", "show", "dev", kennel.bridge))
    assert [a for l in bridge_addresses for a in l.get("addr_info", [])] == [], "the bridge has none either"


def test_router_advertisements_are_ignored(kennel, load):
    """From the neighbour that could send them: the host's side of the wire."""
    guest = Guest(kennel, *load)
    router = "fe80::1"
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8::")
    advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    frame = ethernet(kennel.lab.host.links()[kennel.bridge]["address"], "33:33:00:00:00:01", 0x86DD, icmp6(router, "ff02::1", advertisement))
    with guest.namespace() as ns, Capture(ns, "eth0") as seen:
        with kennel.lab.host.new_socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind((guest.host_end, 0))
            for _ in range(3):
                s.send(frame)
        seen.wait(frame)
        assert ns.ip("-6", "address", "show", "dev", "eth0").strip() == ""
        assert ns.ip("-6", "route", "show", "dev", "eth0").strip() == ""


RAW = ("--cap-add", "NET_RAW", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined")
def send_frames(kennel, guest, frames):
    """From inside the container, by its own capabilities; all of them left it."""
    for at in range(0, len(frames), 100):
        result = kennel.kennel("exec", guest.id, LOAD, "frames", "eth0", *(f.hex() for f in frames[at : at + 100]))
        words = result.ok().split()
        assert words == ["ok"] * len(frames[at : at + 100]), words


def test_false_frames_arrive_nowhere(kennel, load):
    """Root inside, with every capability that helps, and no seccomp filter. On the bridge, at the other container and at
    the host's neighbour not one is seen; that they were sent is seen at the container's own end of the cable."""
    a, b = Guest(kennel, *load, *RAW), listening(kennel, load, *RAW)
    lab = kennel.lab
    makers = forged(a, b)
    cookies = cookies_for(makers)
    frames = [make(cookies[name]) for name, make in makers.items()]
    marker = b"kt-marker-of-the-end"
    # this one is what it says, and comes last
    frames.append(ethernet(a.mac, a.gateway_mac, 0x0800, ipv4(a.address, NEIGHBOUR, udp(9, marker))))
    with (
        Capture(lab.host, a.host_end) as cable,
        Capture(lab.host, kennel.bridge) as bridge,
        Capture(b.namespace(), "eth0") as other,
        Capture(lab.neighbour, "n0") as neighbour,
        lab.host.listen(socket.SOCK_DGRAM, port=9) as host_socket,
    ):
        send_frames(kennel, a, frames)
        bridge.wait(marker)
        assert cable.seen(cookies) == set(cookies), "all of them left the container"
        # positive controls: the captures see what is allowed
        neighbour.wait(marker)
        assert lab.host.echo(b.address, 5000, b"kt-control-of-the-other") == b"kt-control-of-the-other"
        other.wait(b"kt-control-of-the-other")
        assert bridge.seen(cookies) == set()
        assert other.seen(cookies) == set()
        assert neighbour.seen(cookies) == set()
        host_socket.settimeout(0)
        with pytest.raises(BlockingIOError):
            host_socket.recv(2000)
    # and nobody believes anything that they said
    neighbours = json.loads(lab.host.ip("-j", "neighbour", "show", "dev", kennel.bridge))
    assert {(n["dst"], n.get("lladdr")) for n in neighbours if n.get("lladdr")} <= {(a.address, a.mac), (b.address, b.mac)}


def test_true_frames_do_not_reach_the_other_container(kennel, load):
    a, b = Guest(kennel, *load, *RAW), listening(kennel, load, *RAW)
    lab = kennel.lab
    makers = genuine_to_the_other(a, b)
    cookies = cookies_for(makers)
    frames = [make(cookies[name]) for name, make in makers.items()]
    marker = b"kt-marker-of-the-end"
    frames.append(ethernet(a.mac, a.gateway_mac, 0x0800, ipv4(a.address, NEIGHBOUR, udp(9, marker))))
    with Capture(lab.host, a.host_end) as cable, Capture(lab.host, kennel.bridge) as bridge:
        with Capture(b.namespace(), "eth0") as other:
            send_frames(kennel, a, frames)
            bridge.wait(marker)
            assert cable.seen(cookies) == set(cookies), "all of them left the container"
            assert lab.host.echo(b.address, 5000, b"kt-control-of-the-other") == b"kt-control-of-the-other"
            other.wait(b"kt-control-of-the-other")
            assert other.seen({**cookies, "marker": marker}) == set()


def test_loopback_of_the_host_is_not_reached_over_the_wire(kennel, load):
    """route_localnet, which publishing at 127.0.0.1 may take, must not open the host's own services to anybody."""
    guest = Guest(kennel, *load, *RAW, "-p", f"{next(PORTS)}:80")
    lab = kennel.lab
    with lab.host.listen(socket.SOCK_DGRAM, address="127.0.0.1") as local:
        port = local.getsockname()[1]
        inside_frame = ethernet(guest.mac, guest.gateway_mac, 0x0800, ipv4(guest.address, "127.0.0.1", udp(port, b"from-inside")))
        send_frames(kennel, guest, [inside_frame])
        uplink = lab.host.links()["uplink"]["address"]
        n0 = lab.neighbour.links()["n0"]["address"]
        with lab.neighbour.new_socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind(("n0", 0))
            s.send(ethernet(n0, uplink, 0x0800, ipv4(NEIGHBOUR, "127.0.0.1", udp(port, b"from-the-neighbour"))))
        with lab.host.new_socket(kind=socket.SOCK_DGRAM) as s:
            s.sendto(b"from-the-host", ("127.0.0.1", port))
        assert local.recv(2000) == b"from-the-host", "the first that comes is the host's own"


def test_published_loopback_is_not_the_neighbours(kennel, load):
    """What is published at 127.0.0.1 alone is the host's alone."""
    port = next(PORTS)
    guest = Guest(kennel, *load, "-p", f"127.0.0.1:{port}:5000", "-p", f"127.0.0.1:{port}:5000/udp", command=(LOAD, "listen", "5000"))
    wait_line(kennel, guest.id, "ready")
    lab = kennel.lab
    assert lab.host.talk("127.0.0.1", port) == "received 1000"
    with pytest.raises((TimeoutError, OSError)):
        lab.neighbour.talk(HOST, port, timeout=DROPPED_MS / 1000)
    with Capture(guest.namespace(), "eth0") as seen, lab.neighbour.new_socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("n0", 0))
        n0, uplink = lab.neighbour.links()["n0"]["address"], lab.host.links()["uplink"]["address"]
        s.send(ethernet(n0, uplink, 0x0800, ipv4(NEIGHBOUR, "127.0.0.1", udp(port, b"from-the-neighbour"))))
        assert lab.host.echo("127.0.0.1", port, b"from-the-host") == b"from-the-host"
        seen.wait(b"from-the-host")
        assert not any(b"from-the-neighbour" in f for f in seen.frames)


def test_another_address_taken_inside(kennel, load):
    """Root with NET_ADMIN gives itself the other's address and MAC: it gets nothing, and the other loses nothing."""
    a, b = listening(kennel, load, *RAW), listening(kennel, load)
    lab = kennel.lab
    for command in (
        ("ip", "address", "add", f"{b.address}/24", "dev", "eth0"),
        ("ip", "link", "set", "eth0", "address", b.mac),
    ):
        kennel.kennel("exec", a.id, *command).ok()
        for _ in range(3):
            assert lab.host.talk(b.address, 5000) == "received 1000"
            assert lab.host.echo("127.0.0.1", b.port, b"still-the-other") == b"still-the-other"
    with a.namespace() as ns, Capture(ns, "eth0") as seen:
        lab.host.echo("127.0.0.1", b.port, b"not-for-the-thief")
        lab.host.ip("neighbour", "flush", "dev", kennel.bridge)
        assert lab.host.echo("127.0.0.1", b.port, b"not-for-the-thief") == b"not-for-the-thief"
        assert not any(b"not-for-the-thief" in f for f in seen.drain())


def test_queues_of_a_flood_are_its_own(kennel, load):
    """A container that sends what is dropped as fast as it can does not keep its neighbour from answering."""
    a, b = Guest(kennel, *load, *RAW), listening(kennel, load)
    program = "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\nwhile True:\n  try: s.sendto(b'x' * 1400, ('%s', 9))\n  except OSError: pass" % b.address
    flood = kennel.popen("exec", a.id, "python3", "-c", program)
    try:
        wait_for(lambda: a.counted()[3] > 2000, "the flood")
        for _ in range(20):
            assert kennel.lab.host.talk("127.0.0.1", b.port) == "received 1000"
    finally:
        flood.kill()
        flood.communicate()


# accounting -----------------------------------------------------------------------------------------------------------


def network_of(kennel, guest):
    network = sample_of(kennel, guest.id)["network"]
    assert [i["name"] for i in network["interfaces"]] == ["eth0"]
    assert all(network[k] == v for k, v in network["interfaces"][0].items() if k != "name")
    return network


HEADERS = 14 + 20 + 32  # of a segment: Ethernet, IPv4, TCP with its timestamps; how large segments are is the kernel's choice


def test_sent_and_received(kennel, load):
    """10 MB each way, one after the other, to the byte as the container's own interface counts them.

    Against the payload there is what TCP sends twice, a segment of 64 KB each time."""
    guest = listening(kennel, load)
    lab = kennel.lab
    with lab.neighbour.listen() as listener:
        answer = threading.Thread(target=serve_once, args=(listener,))
        answer.start()
        before, own = network_of(kennel, guest), guest.counted()
        said = inside(kennel, guest.id, "send", NEIGHBOUR, listener.getsockname()[1], MEGABYTES_10)
        answer.join(PATIENCE)
        assert said == ["received", str(MEGABYTES_10)]
        after, own_after = network_of(kennel, guest), guest.counted()
    out = after["outBytes"] - before["outBytes"]
    payload = out - HEADERS * (after["outPackets"] - before["outPackets"])
    assert 0.99 * MEGABYTES_10 <= payload <= 1.05 * MEGABYTES_10, out
    assert after["inBytes"] - before["inBytes"] < 0.05 * MEGABYTES_10
    assert out == own_after[2] - own[2] and after["outPackets"] - before["outPackets"] == own_after[3] - own[3]
    before, own = after, own_after
    assert lab.neighbour.talk(HOST, guest.port, b"x" * MEGABYTES_10) == f"received {MEGABYTES_10}"
    after, own_after = network_of(kennel, guest), guest.counted()
    received = after["inBytes"] - before["inBytes"]
    payload = received - HEADERS * (after["inPackets"] - before["inPackets"])
    assert 0.99 * MEGABYTES_10 <= payload <= 1.05 * MEGABYTES_10, received
    assert after["outBytes"] - before["outBytes"] < 0.05 * MEGABYTES_10
    assert received == own_after[0] - own[0] and after["inPackets"] - before["inPackets"] == own_after[1] - own[1]


def serve_once(listener):
    connection, _ = listener.accept()
    total = 0
    with connection:
        while chunk := connection.recv(1 << 20):
            total += len(chunk)
        connection.sendall(f"received {total}\n".encode())


def test_datagrams_are_counted_one_by_one(kennel, load):
    guest = Guest(kennel, *load)
    before = network_of(kennel, guest)
    with kennel.lab.neighbour.listen(socket.SOCK_DGRAM) as sink:
        assert inside(kennel, guest.id, "datagrams", NEIGHBOUR, sink.getsockname()[1], "1000", "1000") == ["sent", "1000"]
    after = network_of(kennel, guest)
    # 42 bytes of headers each; asking for the gateway's MAC is one more
    assert 1000 <= after["outPackets"] - before["outPackets"] <= 1003
    assert 1000 * 1042 <= after["outBytes"] - before["outBytes"] <= 1000 * 1042 + 3 * 60


def test_published_traffic_counts_both_ways(kennel, load):
    guest = listening(kennel, load)
    before = network_of(kennel, guest)
    for _ in range(100):
        kennel.lab.host.echo("127.0.0.1", guest.port, b"x" * 1000)
    after = network_of(kennel, guest)
    for way in ("in", "out"):
        assert 100 <= after[f"{way}Packets"] - before[f"{way}Packets"] <= 104
        assert 100 * 1042 <= after[f"{way}Bytes"] - before[f"{way}Bytes"] <= 100 * 1042 + 4 * 60


def test_containers_are_told_apart(kennel, load):
    a, b = listening(kennel, load), listening(kennel, load)
    before = network_of(kennel, b)
    assert kennel.lab.neighbour.talk(HOST, a.port, b"x" * 1_000_000) == "received 1000000"
    after = network_of(kennel, b)
    assert after["inBytes"] - before["inBytes"] < 2000
    assert network_of(kennel, a)["inBytes"] >= 1_000_000


def test_totals_of_the_network(kennel, load):
    """The interface is gone with the namespace; what it counted is not."""
    guest = listening(kennel, load)
    assert kennel.lab.neighbour.talk(HOST, guest.port, b"x" * 1_000_000) == "received 1000000"
    running = network_of(kennel, guest)
    kennel.kennel("kill", guest.id).ok()
    kennel.wait_exited(guest.id)
    final = check_sample(wait_for(lambda: kennel.inspect(guest.id).get("sample"), "the totals"))
    assert final["final"] is True
    assert running["inBytes"] <= final["network"]["inBytes"] <= running["inBytes"] + 2000
    with kennel.lab.neighbour.listen() as listener:
        thread = threading.Thread(target=serve_once, args=(listener,))
        thread.start()
        command = (LOAD, "send", NEIGHBOUR, str(listener.getsockname()[1]), "1000000")
        kennel.kennel("run", "--name", "sender", "--network", "bridge", *load, "--", *command).ok()
        thread.join(PATIENCE)
    final = wait_for(lambda: kennel.inspect("sender").get("sample"), "the totals")
    assert abs(final["network"]["outBytes"] - 1_000_000) <= 10_000


# rates ----------------------------------------------------------------------------------------------------------------


def iperf(kennel, guest, port, *flags, seconds=2):
    """Bits per second that arrived, with the client in the neighbour's namespace; the first second is left out."""
    command = ("iperf3", "-J", "-c", HOST, "-p", port, "-O", "1", "-t", seconds, *flags)

    def answer():
        done = subprocess.run(kennel.lab.neighbour.command(*command), check=False, capture_output=True, text=True, timeout=PATIENCE)
        said = json.loads(done.stdout)
        # it takes a moment until the server has done with the one before
        if "error" in said and "busy" in said["error"]:
            return None
        assert "error" not in said, said
        return said["end"]["sum_received"]["bits_per_second"]

    return wait_for(answer, "iperf3")


def hold(kennel, guest, port, rate, *flags):
    hold_to("bits a second", rate, 0.1, lambda: iperf(kennel, guest, port, *flags))


def measured(kennel, load, *flags):
    port = next(PORTS)
    guest = Guest(kennel, *load, "-p", f"{port}:5201", *flags, command=("iperf3", "-s"))
    wait_for(lambda: connects_from_inside(guest), "iperf3 to listen")
    return guest, port


def connects_from_inside(guest):
    with guest.namespace() as ns:
        return any(s.endswith(":5201") for s in ns.sockets())


@pytest.mark.parametrize("way,other", [("in", "out"), ("out", "in")])
def test_net_rate(kennel, load, way, other):
    rate = int(40 // SLOWNESS) * 1_000_000  # what is emulated cannot send as much
    guest, port = measured(kennel, load, "--net-rate", f"{way}={rate // 1_000_000}M")
    flags = {"in": (), "out": ("-R",)}
    begin = guest.counted()
    hold(kennel, guest, port, rate, *flags[way])
    moved = guest.counted()[0 if way == "in" else 2] - begin[0 if way == "in" else 2]
    assert moved * 8 >= 2 * 0.9 * rate, "what iperf3 says came through this interface"
    if not SANITIZED:
        free = iperf(kennel, guest, port, *flags[other], "-O", "0", seconds=1)
        assert free > 3 * rate, f"the other way is free: {free / 1e6:.1f} Mbit/s"
    limits = kennel.inspect(guest.id)["limits"]
    assert limits[f"netRate{way.capitalize()}"] == rate and limits.get(f"netRate{other.capitalize()}") is None


def test_net_rate_both_and_changed(kennel, load):
    guest, port = measured(kennel, load, "--net-rate", "16M")
    limits = kennel.inspect(guest.id)["limits"]
    assert (limits["netRateIn"], limits["netRateOut"]) == (16_000_000, 16_000_000)
    kennel.kennel("update", "--net-rate", "in=60M", guest.id).ok()
    limits = kennel.inspect(guest.id)["limits"]
    assert (limits["netRateIn"], limits["netRateOut"]) == (60_000_000, 16_000_000)
    hold(kennel, guest, port, 60_000_000)
    hold(kennel, guest, port, 16_000_000, "-R")
    kennel.kennel("update", "--net-rate", "none", guest.id).ok()
    limits = kennel.inspect(guest.id)["limits"]
    assert limits.get("netRateIn") is None and limits.get("netRateOut") is None
    assert iperf(kennel, guest, port, "-O", "0", seconds=1) > 200e6


@pytest.mark.needs("memory", "pids")
def test_an_update_that_is_refused_puts_the_rate_back(kennel, load):
    """The rate could be had, the memory could not: neither is changed, by what the kernel itself says."""
    guest = Guest(kennel, "--net-rate", "10M", "-m", "100M", *load, command=(LOAD, "anon", "60"))
    wait_line(kennel, guest.id, "ready")

    def state():
        shaping = [kennel.lab.host.run("tc", *words) for words in (("qdisc",), ("filter", "show", "dev", guest.host_end, "root"))]
        return shaping, kennel.inspect(guest.id)["limits"]

    before = state()
    with pytest.raises(VarlinkError) as e:
        kennel.call("Update", container=guest.id, limits={"netRateIn": 50_000_000, "netRateOut": 5_000_000, "memory": 20 << 20, "pids": 9})
    assert e.value.short == "InvalidSpec" and e.value.parameters["field"] == "limits.memory", e.value
    assert state() == before
    kennel.call("Update", container=guest.id, limits={"netRateIn": 50_000_000})
    assert state() != before


def test_net_rate_of_one_is_not_the_others(kennel, load):
    slow = listening(kennel, load, "--net-rate", "1M")
    fast = listening(kennel, load)
    assert kennel.lab.neighbour.talk(HOST, fast.port, b"x" * MEGABYTES_10, timeout=3 * SLOWNESS) == f"received {MEGABYTES_10}"
    assert kennel.lab.neighbour.talk(HOST, slow.port) == "received 1000"


def test_net_rate_without_a_bridge(kennel):
    for flags in ((), ("--network", "none"), ("--network", "host")):
        result = kennel.run(*flags, "--net-rate", "1M", "--", "true")
        assert result.code == 125 and "net" in result.stderr.lower() and "bridge" in result.stderr, result
    container = kennel.start_container()
    result = kennel.kennel("update", "--net-rate", "1M", container)
    assert result.code != 0 and "bridge" in result.stderr


# the end --------------------------------------------------------------------------------------------------------------


def test_nothing_is_left(network_daemon, load):
    daemon = network_daemon()
    lab = daemon.lab
    before = lab.host.all()
    guests = [listening(daemon, load, "--net-rate", "in=10M,out=10M") for _ in range(3)]
    during = lab.host.all()
    assert daemon.bridge in during[0] and len(during[0]) >= len(before[0]) + 4
    assert daemon.bridge in during[1], "its table is called after the bridge"
    addresses = [g.address for g in guests]
    daemon.kennel("rm", "-f", guests[0].id).ok()
    wait_for(lambda: guests[0].host_end not in lab.host.links(), "its interface to go")
    assert guests[0].address not in lab.host.ruleset() and str(guests[0].port) not in lab.host.ruleset()
    assert lab.host.talk("127.0.0.1", guests[1].port) == "received 1000"
    # the address may be given again, and the port published again
    again = Guest(daemon, *load, "-p", f"{guests[0].port}:5000", command=(LOAD, "listen", "5000"))
    wait_line(daemon, again.id, "ready")
    assert lab.host.talk("127.0.0.1", guests[0].port) == "received 1000"
    assert again.address not in addresses[1:]
    daemon.kennel("kill", guests[1].id).ok()
    daemon.wait_exited(guests[1].id)
    wait_for(lambda: guests[1].host_end not in lab.host.links(), "the interface of one that has exited to go")
    daemon.kennel("rm", "-f", *(g.id for g in (*guests[1:], again))).ok()
    wait_for(lambda: lab.host.all() == before, f"nothing more than {before}")


def test_nothing_is_left_after_the_daemon_was_killed(network_daemon, load):
    daemon = network_daemon()
    lab = daemon.lab
    before = lab.host.all()
    a, b, c = (listening(daemon, load, "--net-rate", "in=10M") for _ in range(3))
    assert lab.neighbour.talk(HOST, a.port) == "received 1000"
    counted = network_of(daemon, a)["inBytes"]
    daemon.terminate(signal.SIGKILL, expected=-9)
    # what is published is reached meanwhile: the kernel forwards, not the daemon
    assert lab.neighbour.talk(HOST, a.port) == "received 1000"
    os.kill(b.pid, signal.SIGKILL)
    daemon.start()
    assert lab.neighbour.talk(HOST, a.port) == "received 1000"
    assert lab.host.talk("127.0.0.1", a.port) == "received 1000"
    assert network_of(daemon, a)["inBytes"] > counted, "still accounted"
    inspected = daemon.inspect(a.id)
    assert inspected["address"] == a.address and inspected["limits"]["netRateIn"] == 10_000_000
    daemon.wait_exited(b.id)
    wait_for(lambda: b.host_end not in lab.host.links(), "the interface of the one that has exited to go")
    with pytest.raises(OSError):
        lab.host.listen(port=a.port)
    new = listening(daemon, load)
    assert new.address not in (a.address, c.address)
    assert connects(daemon, a, f"{c.address}:5000", f"{HOST}:{c.port}") == set()
    daemon.kennel("rm", "-f", a.id, b.id, c.id, new.id).ok()
    wait_for(lambda: lab.host.all() == before, f"nothing more than {before}")


def test_killed_while_starting_on_the_bridge(network_daemon, load):
    """At whatever instant: afterwards each interface belongs to a container that is known, and goes with it."""
    daemon = network_daemon()
    lab = daemon.lab
    before = lab.host.all()
    for delay in (0.002, 0.005, 0.01, 0.015, 0.02, 0.03):
        clients = [daemon.popen("run", "-d", "--network", "bridge", "-p", f"{next(PORTS)}:1", "--", "sleep", "1000") for _ in range(2)]
        try:
            clients[0].wait(delay)
        except subprocess.TimeoutExpired:
            pass
        daemon.terminate(signal.SIGKILL, expected=-9)
        for client in clients:
            client.communicate(timeout=PATIENCE)
        daemon.start()
        known = [c["id"] for c in daemon.containers()]
        daemon.ids.update(known)
        if known:
            daemon.kennel("rm", "-f", *known)
        wait_for(lambda: lab.host.all() == before, f"nothing more than {before}")


def test_failed_starts_leave_nothing(network_daemon):
    daemon = network_daemon()
    before = daemon.lab.host.all()
    for _ in range(3):
        result = daemon.run("--network", "bridge", "-p", f"{next(PORTS)}:80", "--", "/no/such")
        assert result.code == 127
    wait_for(lambda: daemon.lab.host.all() == before, "nothing more than before")


def test_two_daemons_and_one_bridge(network_daemon, lab, request):
    """The name belongs to one of them; the other one says so."""
    first = network_daemon()
    Guest(first)
    second = NetworkKenneld(lab)
    second.config.write_text(first.config.read_text())
    try:
        second.start()
    except AssertionError as e:
        assert first.bridge in str(e)
        second.process.wait()
        second.process = None
        second._remove_base()
        return
    try:
        result = second.run("--network", "bridge", "--", "true")
        assert result.code == 125 and first.bridge in result.stderr, result
    finally:
        second.stop(keep=request.config.getoption("--keep"))


def test_pool_that_is_used_up(request, lab):
    """A /29 has five addresses for containers; the sixth is told why it gets none, and gets one when there is room."""
    daemon = NetworkKenneld(lab, pool="10.216.0.0/29").start()
    try:
        guests = [Guest(daemon) for _ in range(5)]
        assert len({g.address for g in guests}) == 5
        result = daemon.run("--network", "bridge", "--", "true")
        assert result.code == 125 and "address" in result.stderr
        daemon.kennel("rm", "-f", guests[2].id).ok()
        again = wait_for(lambda: r if (r := daemon.run("--network", "bridge", "--", "true")).code == 0 else None, "room")
        assert again.code == 0
    finally:
        daemon.stop(keep=request.config.getoption("--keep"))


def test_a_pause_keeps_the_network(kennel, load):
    guest = listening(kennel, load)
    since = now_usec()
    kennel.kennel("pause", guest.id).ok()
    with pytest.raises((TimeoutError, OSError)):
        kennel.lab.host.talk("127.0.0.1", guest.port, timeout=DROPPED_MS / 1000)
    kennel.kennel("unpause", guest.id).ok()
    assert kennel.lab.host.talk("127.0.0.1", guest.port) == "received 1000"
    assert {"paused", "resumed"} <= {e["kind"] for e in events_since(kennel, since)}
