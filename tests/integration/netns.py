# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host of the tests' own to be on: network namespaces, with a daemon in one of them, so that the real host's network is
never touched. And raw frames: to make them, and to see which come through.

    neighbour                      host (where the daemon is)              containers
    198.51.100.2  n0 --------- uplink 198.51.100.1        kt…  bridge ----- eth0 each
                               other  203.0.113.1
                               lo     127.0.0.1
"""

import contextlib
import ctypes
import json
import os
import pathlib
import socket
import struct
import subprocess

from kenneld import SLOWNESS, Kenneld, wait_for

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
_libc = ctypes.CDLL(None, use_errno=True)

HOST, OTHER, NEIGHBOUR = "198.51.100.1", "203.0.113.1", "198.51.100.2"


def _call(function, *arguments):
    if function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def entered(fd):
    """This thread is in the network namespace FD; sockets that are made there stay there."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(_libc.setns, fd, CLONE_NEWNET)
        yield
    finally:
        _call(_libc.setns, own, CLONE_NEWNET)
        os.close(own)


class Namespace:
    """A network namespace, for as long as this object is open: no name, no process, nothing to leave behind."""

    def __init__(self, pid=None):
        if pid:
            self.fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            return
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _call(_libc.unshare, CLONE_NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _call(_libc.setns, own, CLONE_NEWNET)
        os.close(own)
        self.ip("link", "set", "lo", "up")
        self.set_sysctl("ipv6/conf/default/accept_dad", "0")  # addresses can be used at once

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def command(self, *command):
        """For a program that is to run in there. nsenter executes it: the pid stays."""
        return ["nsenter", f"--net={self.path}", *map(str, command)]

    def run(self, *command):
        done = subprocess.run(self.command(*command), check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def ip(self, *arguments):
        return self.run("ip", *arguments)

    def sysctl(self, name):
        with entered(self.fd):
            return pathlib.Path("/proc/sys/net", name).read_text().strip()

    def set_sysctl(self, name, value):
        with entered(self.fd):
            pathlib.Path("/proc/sys/net", name).write_text(value)

    def new_socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        with entered(self.fd):
            return socket.socket(family, kind, protocol)

    def links(self):
        return {link["ifname"]: link for link in json.loads(self.ip("-j", "-d", "link"))}

    def ruleset(self):
        return self.run("nft", "list", "ruleset").strip()

    def sockets(self):
        """What listens or is bound, as TCP and UDP have it."""
        return sorted(line.split()[4] for line in self.run("ss", "-H", "-ltnu").splitlines())

    def all(self):
        """Everything that a daemon might leave behind."""
        return sorted(self.links()), self.ruleset(), self.sockets(), sorted(self.ip("-4", "rule").splitlines())

    # conversations ---------------------------------------------------------------------------------------------------

    def talk(self, host, port, data=b"x" * 1000, timeout=5.0 * SLOWNESS):
        """Sends DATA over TCP to a load.c that listens; what it says."""
        with self.new_socket() as s:
            s.settimeout(timeout)
            s.connect((host, port))
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            return s.makefile().read().strip()

    def echo(self, host, port, data=b"ping", timeout=5.0 * SLOWNESS):
        """A datagram there and back."""
        with self.new_socket(kind=socket.SOCK_DGRAM) as s:
            s.settimeout(timeout)
            s.sendto(data, (host, port))
            answer, sender = s.recvfrom(65536)
            assert sender == (host, port), f"the answer came from {sender}"
            return answer

    def listen(self, kind=socket.SOCK_STREAM, address="0.0.0.0", port=0):
        s = self.new_socket(kind=kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        s.settimeout(10 * SLOWNESS)
        return s


class Lab:
    """A host and its neighbour. The host is a router, which is its administrator's to decide and not Kennel's."""

    def __init__(self, forwarding=True):
        self.host, self.neighbour = Namespace(), Namespace()
        h, n = self.host, self.neighbour
        h.ip("link", "add", "uplink", "type", "veth", "peer", "name", "n0", "netns", n.path)
        h.ip("address", "add", f"{HOST}/24", "dev", "uplink")
        h.ip("link", "set", "uplink", "up")
        h.ip("link", "add", "other", "type", "bridge")
        h.ip("address", "add", f"{OTHER}/24", "dev", "other")
        h.ip("link", "set", "other", "up")
        n.ip("address", "add", f"{NEIGHBOUR}/24", "dev", "n0")
        n.ip("link", "set", "n0", "up")
        n.ip("route", "add", "default", "via", HOST)
        h.set_sysctl("ipv4/ip_forward", str(int(forwarding)))
        wait_for(lambda: "LOWER_UP" in h.links()["uplink"]["flags"], "the link to the neighbour")
        self.before = h.all()

    def close(self):
        self.host.close()
        self.neighbour.close()


class NetworkKenneld(Kenneld):
    """A daemon in the lab's host. The bridge is called after this process: its name is taken on the whole machine."""

    count = 0

    def __init__(self, lab, config="", pool="10.214.0.0/24", masquerade=True, **keywords):
        NetworkKenneld.count += 1
        self.lab = lab
        self.bridge = f"kt{os.getpid()}n{NetworkKenneld.count}"
        config += f"network-bridge = {self.bridge}\nnetwork-pool = {pool}\n"
        config += f"network-masquerade = {'yes' if masquerade else 'no'}\n"
        super().__init__(config=config, **keywords)

    def command(self):
        return self.lab.host.command(*super().command())


class Guest:
    """A container on the bridge, as the tests see it."""

    def __init__(self, kennel, *flags, command=("sleep", "infinity")):
        self.kennel = kennel
        self.id = kennel.start_container("--network", "bridge", *flags, command=command)
        inspected = kennel.inspect(self.id)
        self.pid = inspected["container"]["pid"]
        self.address, self.gateway = inspected["address"], inspected["gateway"]
        with Namespace(self.pid) as ns:
            link = json.loads(ns.ip("-j", "link", "show", "eth0"))[0]
            self.mac, self.index = link["address"], link["link_index"]
        self.host_end = next(n for n, l in kennel.lab.host.links().items() if l["ifindex"] == self.index)
        self.gateway_mac = kennel.lab.host.links()[kennel.bridge]["address"]

    def namespace(self):
        return Namespace(self.pid)

    def counted(self):
        """eth0 by the kernel's own count: bytes and packets in, bytes and packets out."""
        for line in pathlib.Path(f"/proc/{self.pid}/net/dev").read_text().splitlines():
            name, _, fields = line.partition(":")
            if name.strip() == "eth0":
                f = [int(x) for x in fields.split()]
                return f[0], f[1], f[8], f[9]
        raise AssertionError("no eth0 in the container")


# frames ---------------------------------------------------------------------------------------------------------------

BROADCAST = "ff:ff:ff:ff:ff:ff"


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ethernet(source, target, kind, payload):
    return mac(target) + mac(source) + struct.pack("!H", kind) + payload


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, target, payload, protocol=17):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    return head[:10] + struct.pack("!H", checksum(head + addresses)) + addresses + payload


def udp(port, payload, source_port=4000):
    """Without a checksum, as IPv4 allows."""
    return struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload


def ipv6(source, target, payload, protocol=17):
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255)
    return head + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target) + payload


def icmp6(source, target, payload):
    pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    pseudo += struct.pack("!IHBB", len(payload), 0, 0, 58)
    payload = payload[:2] + struct.pack("!H", checksum(pseudo + payload)) + payload[4:]
    return ipv6(source, target, payload, protocol=58)


def arp(operation, sender_mac, sender, target_mac, target, cookie=b""):
    """COOKIE comes behind, where frames are filled up anyway."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + mac(sender_mac) + socket.inet_aton(sender) + mac(target_mac) + socket.inet_aton(target) + cookie


class Capture:
    """Everything that an interface sees, in and out."""

    def __init__(self, namespace, interface):
        with entered(namespace.fd):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            self.socket.bind((interface, ETH_P_ALL))
        self.frames = []

    def drain(self):
        while True:
            try:
                self.frames.append(self.socket.recv(65536, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return self.frames

    def wait(self, cookie):
        """For a frame that has COOKIE in it; all frames so far."""
        wait_for(lambda: any(cookie in f for f in self.drain()), f"a frame with {cookie!r}")
        return self.frames

    def seen(self, cookies):
        """Those of COOKIES (name: bytes) that are in some frame."""
        self.drain()
        return {name for name, cookie in cookies.items() if any(cookie in f for f in self.frames)}

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
