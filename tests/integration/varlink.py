# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Varlink client and a reader of interface files, written for the tests alone.

Nothing here shares a line with proto/: what the daemon says is held against an independent reading of the protocol and
of io.kennel.varlink. Every reply that passes through Connection is checked for its exact shape.
"""

import array
import json
import os
import re
import socket

INT64 = range(-(2**63), 2**63)


class VarlinkError(Exception):
    """The daemon's typed error."""

    def __init__(self, name, parameters):
        super().__init__(f"{name} {json.dumps(parameters, ensure_ascii=False)}")
        self.name = name
        self.short = name.rsplit(".", 1)[-1]
        self.parameters = parameters


class NoSuchContainer(VarlinkError):
    """The one that tests want to catch by itself."""


class Closed(Exception):
    """The other side closed the connection."""


class Interface:
    """An interface file: methods, errors and types, by Varlink's grammar."""

    TOKEN = re.compile(
        r"\s+|#[^\n]*|(?P<token>->|\[\]|\[string\]|[?():,]|[A-Za-z0-9_.\-]+)"
    )

    def __init__(self, text):
        self.tokens = self._tokens(text)
        self.types, self.methods, self.errors = {}, {}, {}
        self._expect("interface")
        self.name = self._take()
        assert re.fullmatch(r"[A-Za-z](-*[A-Za-z0-9])*(\.[A-Za-z0-9](-*[A-Za-z0-9])*)+", self.name), self.name
        while self.tokens:
            self._member()
        for kind in self._named():
            assert kind in self.types, f"type {kind} is used but not defined"

    def _tokens(self, text):
        out, at = [], 0
        while at < len(text):
            m = self.TOKEN.match(text, at)
            assert m, f"no token of Varlink's at {text[at:at + 30]!r}"
            if m["token"]:
                out.append(m["token"])
            at = m.end()
        return out

    def _take(self):
        return self.tokens.pop(0)

    def _expect(self, token):
        got = self._take()
        assert got == token, f"expected {token!r}, got {got!r} before {self.tokens[:5]}"

    def _member(self):
        kind, name = self._take(), self._take()
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", name), name
        table = {"type": self.types, "error": self.errors, "method": self.methods}[kind]
        assert name not in {**self.types, **self.errors, **self.methods}, f"{name} is defined twice"
        fields = self._struct()
        if kind == "method":
            self._expect("->")
            fields = (fields, self._struct())
        table[name] = fields

    def _struct(self):
        """A dict of fields, or a list of names for an enum."""
        self._expect("(")
        fields, names = {}, []
        while self.tokens[0] != ")":
            name = self._take()
            assert re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name), name
            if self.tokens[0] == ":":
                self._take()
                assert name not in fields
                fields[name] = self._type()
            else:
                names.append(name)
            if self.tokens[0] != ")":
                self._expect(",")
        self._expect(")")
        assert not (fields and names)
        return names or fields

    def _type(self):
        token = self.tokens[0]
        if token == "?":
            self._take()
            return ("maybe", self._type())
        if token in ("[]", "[string]"):
            self._take()
            return ("array" if token == "[]" else "map", self._type())
        if token == "(":
            return ("inline", self._struct())
        return ("name", self._take())

    def _named(self):
        def walk(x):
            if isinstance(x, dict):
                for v in x.values():
                    yield from walk(v)
            elif isinstance(x, tuple) and x and x[0] == "name":
                if x[1] not in ("bool", "int", "float", "string", "object"):
                    yield x[1]
            elif isinstance(x, tuple):
                for v in x:
                    yield from walk(v)

        yield from walk(self.types)
        yield from walk(tuple(self.methods.values()))
        yield from walk(self.errors)

    def check(self, kind, value, path):
        """Fails with the path of the first value that is not of its type."""
        tag, of = kind
        if tag == "maybe":
            if value is not None:
                self.check(of, value, path)
        elif tag == "array":
            assert isinstance(value, list), f"{path}: {value!r} is no array"
            for i, v in enumerate(value):
                self.check(of, v, f"{path}[{i}]")
        elif tag == "map":
            assert isinstance(value, dict), f"{path}: {value!r} is no map"
            for k, v in value.items():
                self.check(of, v, f"{path}[{k!r}]")
        elif tag == "inline" or of in self.types:
            self.check_fields(of if tag == "inline" else self.types[of], value, path)
        elif of == "int":
            assert type(value) is int and value in INT64, f"{path}: {value!r} is no int"
        elif of == "float":
            assert type(value) in (int, float), f"{path}: {value!r} is no float"
        else:
            python = {"bool": bool, "string": str, "object": dict}[of]
            assert type(value) is python, f"{path}: {value!r} is no {of}"

    def check_fields(self, fields, value, path):
        if isinstance(fields, list):
            assert value in fields, f"{path}: {value!r} is none of {fields}"
            return
        assert isinstance(value, dict), f"{path}: {value!r} is no object"
        unknown = set(value) - set(fields)
        assert not unknown, f"{path}: fields that the interface does not have: {unknown}"
        for name, kind in fields.items():
            if name in value:
                self.check(kind, value[name], f"{path}.{name}")
            else:
                assert kind[0] == "maybe", f"{path}.{name} is missing"

    def check_reply(self, method, parameters):
        self.check_fields(self.methods[method][1], parameters, method)

    def check_error(self, name, parameters):
        assert name in self.errors, f"error {name} is not in the interface"
        self.check_fields(self.errors[name], parameters, name)


def strict_json(text):
    def unique(pairs):
        keys = [k for k, _ in pairs]
        assert len(keys) == len(set(keys)), f"a key occurs twice in {text!r}"
        return dict(pairs)

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


class Connection:
    """One connection; `interface` checks what comes back, None does not."""

    def __init__(self, path, interface=None, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # connect(2) waits for room in the listener's queue; with a timeout it would say EAGAIN
        self.socket.connect(str(path))
        self.socket.settimeout(timeout)
        self.interface = interface
        self.buffer = bytearray()
        self.fds = []

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # raw ---------------------------------------------------------------------------------------------------------

    def send_bytes(self, data, fds=()):
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = self.socket.sendmsg([data], ancillary)
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def receive_bytes(self):
        """Bytes of the next message; its descriptors are appended to self.fds."""
        while 0 not in self.buffer:
            try:
                data, ancillary, flags, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(64 * 4), socket.MSG_CMSG_CLOEXEC)
            except (ConnectionResetError, BrokenPipeError) as e:
                raise Closed(str(e)) from e
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i")
                    numbers.frombytes(payload[: len(payload) - len(payload) % 4])
                    self.fds.extend(numbers)
            if not data:
                raise Closed("end of file")
            self.buffer += data
        message, _, rest = bytes(self.buffer).partition(b"\0")
        self.buffer = bytearray(rest)
        return message

    # messages ----------------------------------------------------------------------------------------------------

    def send(self, method, parameters=None, fds=(), **flags):
        message = {"method": method if "." in method else f"io.kennel.{method}", **flags}
        if parameters is not None:
            message["parameters"] = parameters
        self.send_bytes(json.dumps(message).encode() + b"\0", fds)

    def receive(self, method=None):
        """The next reply: (parameters, continues). Raises VarlinkError."""
        message = strict_json(self.receive_bytes().decode("utf-8"))
        assert isinstance(message, dict)
        assert set(message) <= {"parameters", "error", "continues"}, message
        parameters = message.get("parameters", {})
        if "error" in message:
            if self.interface and message["error"].startswith("io.kennel."):
                self.interface.check_error(message["error"][len("io.kennel."):], parameters)
            kind = NoSuchContainer if message["error"] == "io.kennel.NoSuchContainer" else VarlinkError
            raise kind(message["error"], parameters)
        if self.interface and method and method in self.interface.methods:
            self.interface.check_reply(method, parameters)
        return parameters, message.get("continues", False)

    def call(self, method, fds=(), **parameters):
        """One call, one reply."""
        self.send(method, parameters, fds)
        reply, continues = self.receive(method)
        assert not continues
        return reply

    def stream(self, method, fds=(), **parameters):
        """A call with `more`: yields parameters until the last reply."""
        self.send(method, parameters, fds, more=True)
        continues = True
        while continues:
            reply, continues = self.receive(method)
            yield reply
