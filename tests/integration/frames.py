# SPDX-License-Identifier: LGPL-2.1-or-later
"""Raw frames that container A sends: those that must arrive nowhere, and those that must not arrive at container B.

Each is a function of a cookie, some bytes by which it is found again wherever it turns up.
"""

import struct

from netns import BROADCAST, HOST, NEIGHBOUR, arp, ethernet, icmp6, ipv4, ipv6, udp

UNKNOWN = "02:00:00:00:00:99"
NOBODY = "00:00:00:00:00:00"


def forged(a, b):
    """Frames that must arrive nowhere: name → function of a cookie."""

    def ip(source_mac, target_mac, source, target, port=9):
        return lambda cookie: ethernet(source_mac, target_mac, 0x0800, ipv4(source, target, udp(port, cookie)))

    frames = {}
    for name, target_mac, target in (
        ("to the gateway", a.gateway_mac, a.gateway),
        ("to the neighbour", a.gateway_mac, NEIGHBOUR),
        ("to the host", a.gateway_mac, HOST),
        ("to the other", b.mac, b.address),
        ("to all", BROADCAST, "255.255.255.255"),
        ("to the subnet", BROADCAST, "10.214.0.255"),
        ("to a group", "01:00:5e:00:00:01", "224.0.0.1"),
    ):
        frames[f"false MAC {name}"] = ip(UNKNOWN, target_mac, a.address, target)
        frames[f"the other's MAC {name}"] = ip(b.mac, target_mac, a.address, target)
        frames[f"the gateway's MAC {name}"] = ip(a.gateway_mac, target_mac, a.address, target)
        for whose, source in (
            ("false IP", "10.214.0.77"),
            ("the other's IP", b.address),
            ("the gateway's IP", a.gateway),
            ("the host's IP", HOST),
            ("loopback's IP", "127.0.0.1"),
            ("no IP", "0.0.0.0"),
            ("an outside IP", "192.0.2.55"),
            ("the neighbour's IP", NEIGHBOUR),
        ):
            frames[f"{whose} {name}"] = ip(a.mac, target_mac, source, target)
    for name, target in (("all", BROADCAST), ("the gateway", a.gateway_mac), ("the other", b.mac)):
        for operation in (1, 2):
            for whose, sender_mac, sender in (
                ("the gateway's IP", a.mac, a.gateway),
                ("the other's IP", a.mac, b.address),
                ("a false IP", a.mac, "10.214.0.77"),
                ("a false MAC", UNKNOWN, a.address),
                ("the other's MAC", b.mac, a.address),
            ):
                frames[f"ARP {operation} with {whose} to {name}"] = lambda cookie, o=operation, t=target, m=sender_mac, s=sender: ethernet(
                    a.mac, t, 0x0806, arp(o, m, s, NOBODY, a.gateway, cookie)
                )
        frames[f"ARP of a false sender to {name}"] = lambda cookie, t=target: ethernet(
            UNKNOWN, t, 0x0806, arp(1, a.mac, a.address, NOBODY, a.gateway, cookie)
        )
        frames[f"RARP to {name}"] = lambda cookie, t=target: ethernet(
            a.mac, t, 0x8035, arp(3, a.mac, "0.0.0.0", a.mac, "0.0.0.0", cookie)
        )
        frames[f"IPv6 to {name}"] = lambda cookie, t=target: ethernet(
            a.mac, t, 0x86DD, ipv6("fe80::1", "ff02::1", udp(9, cookie))
        )
        frames[f"an unknown protocol to {name}"] = lambda cookie, t=target: ethernet(a.mac, t, 0x88B5, cookie * 8)
        frames[f"IPv4 in a VLAN to {name}"] = lambda cookie, t=target: ethernet(
            a.mac, t, 0x8100, struct.pack("!HH", 1, 0x0800) + ipv4(a.address, a.gateway, udp(9, cookie))
        )
        frames[f"false IP in a VLAN to {name}"] = lambda cookie, t=target: ethernet(
            a.mac, t, 0x8100, struct.pack("!HH", 1, 0x0800) + ipv4(b.address, a.gateway, udp(9, cookie))
        )
        frames[f"false IP in two VLANs to {name}"] = lambda cookie, t=target: ethernet(
            a.mac, t, 0x88A8, struct.pack("!HHHH", 1, 0x8100, 1, 0x0800) + ipv4(b.address, a.gateway, udp(9, cookie))
        )
    advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    frames["a router advertisement"] = lambda cookie: ethernet(
        a.mac, "33:33:00:00:00:01", 0x86DD, icmp6("fe80::1", "ff02::1", advertisement + cookie)
    )
    frames["a neighbour solicitation"] = lambda cookie: ethernet(
        a.mac, "33:33:ff:00:00:01", 0x86DD, icmp6("fe80::2", "ff02::1:ff00:1", struct.pack("!BBHI", 135, 0, 0, 0) + cookie * 4)
    )
    frames["a spanning tree's frame"] = lambda cookie: mac_frame(a.mac, "01:80:c2:00:00:00", cookie)
    return frames


def mac_frame(source, target, payload):
    """802.3 with LLC, as bridges talk to each other."""
    body = b"\x42\x42\x03" + b"\0" * 35 + payload
    return ethernet(source, target, len(body), body)


def genuine_to_the_other(a, b):
    """From whom they say, but not for the other container to see."""

    def ip(target_mac, target):
        return lambda cookie: ethernet(a.mac, target_mac, 0x0800, ipv4(a.address, target, udp(5000, cookie)))

    return {
        "IPv4": ip(b.mac, b.address),
        "IPv4 by way of the gateway": ip(a.gateway_mac, b.address),
        "IPv4 to all MACs": ip(BROADCAST, b.address),
        "IPv4 to all": ip(BROADCAST, "255.255.255.255"),
        "IPv4 to the subnet": ip(BROADCAST, "10.214.0.255"),
        "IPv4 to a group": ip("01:00:5e:00:00:fb", "224.0.0.251"),
        "who has the other's address": lambda cookie: ethernet(
            a.mac, BROADCAST, 0x0806, arp(1, a.mac, a.address, NOBODY, b.address, cookie)
        ),
        "an answer to the other": lambda cookie: ethernet(
            a.mac, b.mac, 0x0806, arp(2, a.mac, a.address, b.mac, b.address, cookie)
        ),
        "its own announcement": lambda cookie: ethernet(
            a.mac, BROADCAST, 0x0806, arp(1, a.mac, a.address, NOBODY, a.address, cookie)
        ),
    }


def cookies_for(frames):
    return {name: f"kt-cookie-{i:04d}.".encode() for i, name in enumerate(frames)}
