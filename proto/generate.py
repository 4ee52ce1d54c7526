#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the tables of proto/interface.h from a Varlink interface file.

    generate.py FILE.varlink OUTPUT.c

The file is read by the grammar that Varlink publishes, strictly: what another implementation would refuse must not
build. The first error is reported as FILE:LINE:COLUMN. The output holds one symbol, interface_<name>, in which
everything that is not a letter or digit is an underscore.

Tables refer to each other by pointers and are declared before they are defined, so that types may be used before
they stand in the file, and may contain themselves.
"""

import re
import sys

KINDS = {
    "bool": "INTERFACE_BOOL",
    "int": "INTERFACE_INT",
    "float": "INTERFACE_FLOAT",
    "string": "INTERFACE_STRING",
    "object": "INTERFACE_OBJECT",
}

INTERFACE_NAME = re.compile(r"[a-z](?:-*[a-z0-9])*(?:\.[a-z0-9](?:-*[a-z0-9])*)+")
NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
FIELD_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
WORD = re.compile(r"[A-Za-z0-9_.-]+")
SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*(?:\n|\Z))*")
# the rest of a line behind a member: at most a comment
LINE_END = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
INTERFACE_NAME_MAX = 255


class Invalid(Exception):
    def __init__(self, at, text):
        super().__init__(text)
        self.at = at


class Struct:
    def __init__(self, fields):
        self.fields = fields


class Enum:
    def __init__(self, names):
        self.names = names


class Named:
    """A use of a type by its name; at: where, for the message if there is no such type."""

    def __init__(self, name, at):
        self.name = name
        self.at = at


class Builtin:
    def __init__(self, kind):
        self.kind = kind


class Field:
    """A type with its prefixes: at most one ?, then at most one of [] and [string]. More of them nest."""

    def __init__(self, name, type_, optional=False, container=None):
        self.name = name
        self.type = type_
        self.optional = optional
        self.container = container  # None, "array", "map"


class Parser:
    def __init__(self, text):
        self.text = text
        self.at = 0

    def fail(self, text, at=None):
        raise Invalid(self.at if at is None else at, text)

    def here(self):
        """What stands here, for an error message."""
        if self.at >= len(self.text):
            return "the end of the file"
        word = WORD.match(self.text, self.at)
        return repr(word.group() if word else self.text[self.at])

    def space(self):
        self.at = SPACE.match(self.text, self.at).end()

    def accept(self, token):
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def expect(self, token):
        if not self.accept(token):
            self.fail(f"{token!r} is expected, not {self.here()}")

    def match(self, pattern, what):
        """A word that the pattern fits as a whole."""
        word = WORD.match(self.text, self.at)
        if not word or not pattern.fullmatch(word.group()):
            self.fail(f"{what} is expected, not {self.here()}")
        self.at = word.end()
        return word.group()

    def keyword(self, keyword):
        word = WORD.match(self.text, self.at)
        if not word or word.group() != keyword:
            return False
        self.at = word.end()
        before = self.at
        self.space()
        if self.at == before:
            self.fail(f"a space is expected behind {keyword!r}")
        return True

    def list(self, element):
        """What stands between parentheses, the opening one already behind us."""
        elements = []
        self.space()
        if self.accept(")"):
            return elements
        while True:
            self.space()
            elements.append(element())
            self.space()
            if self.accept(")"):
                return elements
            self.expect(",")

    def unique(self, name, seen, what, at):
        if name in seen:
            self.fail(f"{what} {name} occurs twice", at)
        seen.add(name)

    def parentheses(self):
        """A struct, or an enum: which of the two shows behind the first name. () is a struct without fields."""
        self.expect("(")
        seen = set()
        kinds = set()

        def element():
            at = self.at
            name = self.match(FIELD_NAME, "a field's name")
            self.unique(name, seen, "field", at)
            self.space()
            is_field = self.accept(":")
            kinds.add(is_field)
            if len(kinds) > 1:
                self.fail("a struct's fields have types, an enum's names have none", at)
            if not is_field:
                return name
            self.space()
            return self.field(name)

        elements = self.list(element)
        return Enum(elements) if kinds == {False} else Struct(elements)

    def struct(self, of):
        at = self.at
        found = self.parentheses()
        if not isinstance(found, Struct):
            self.fail(f"{of} has fields with types, not an enum's names", at)
        return found

    def field(self, name):
        """A type, which may have prefixes; nothing stands between a prefix and what it belongs to."""
        optional = self.accept("?")
        if optional and self.text.startswith("?", self.at):
            self.fail("'?' occurs twice")
        container = None
        if self.accept("[]"):
            container = "array"
        elif self.accept("[string]"):
            container = "map"
        elif self.text.startswith("[", self.at):
            self.fail("'[]' or '[string]' is expected")
        if not container:
            return Field(name, self.base(), optional)
        inner = self.field("")
        if inner.optional or inner.container:
            return Field(name, inner, optional, container)
        return Field(name, inner.type, optional, container)

    def base(self):
        if self.text.startswith("(", self.at):
            return self.parentheses()
        word = WORD.match(self.text, self.at)
        if word and word.group() in KINDS:
            self.at = word.end()
            return Builtin(KINDS[word.group()])
        at = self.at
        return Named(self.match(NAME, "a type"), at)

    def member(self, interface):
        at = self.at
        if self.keyword("type"):
            name_at = self.at
            name = self.match(NAME, "a type's name")
            self.space()
            interface.types[name] = self.parentheses()
        elif self.keyword("method"):
            name_at = self.at
            name = self.match(NAME, "a method's name")
            self.space()
            in_ = self.struct("a method")
            self.space()
            self.expect("->")
            self.space()
            interface.methods.append((name, in_, self.struct("a method")))
        elif self.keyword("error"):
            name_at = self.at
            name = self.match(NAME, "an error's name")
            self.space()
            interface.errors.append((name, self.struct("an error")))
        else:
            self.fail(f"'type', 'method' or 'error' is expected, not {self.here()}", at)
        self.unique(name, interface.members, "member", name_at)

    def line_end(self):
        found = LINE_END.match(self.text, self.at)
        if not found:
            self.space()
            self.fail(f"a new line is expected, not {self.here()}")
        self.at = found.end()

    def interface(self):
        self.space()
        if not self.keyword("interface"):
            self.fail(f"'interface' is expected, not {self.here()}")
        at = self.at
        interface = Interface(self.match(INTERFACE_NAME, "an interface's name"), self.text)
        if len(interface.name) > INTERFACE_NAME_MAX:
            self.fail(f"an interface's name has {INTERFACE_NAME_MAX} characters at most", at)
        self.line_end()
        self.space()
        while self.at < len(self.text):
            self.member(interface)
            self.line_end()
            self.space()
        if not interface.members:
            self.fail("an interface has one type, method or error at least")
        interface.check_names(self)
        return interface


class Interface:
    def __init__(self, name, description):
        self.name = name
        self.description = description
        self.members = set()
        self.types = {}  # in the order of the file
        self.methods = []
        self.errors = []

    def check_names(self, parser):
        """Every type that is used by its name exists."""
        pending = list(self.types.values()) + [s for _, *structs in self.methods + self.errors for s in structs]
        while pending:
            type_ = pending.pop()
            if isinstance(type_, Named) and type_.name not in self.types:
                parser.fail(f"there is no type {type_.name}", type_.at)
            elif isinstance(type_, Struct):
                pending += [f.type for f in type_.fields]
            elif isinstance(type_, Field):
                pending.append(type_.type)


def c_string(text):
    """A C literal of TEXT's bytes, a line of the source for each of its lines."""
    lines = []
    for line in text.encode().splitlines(keepends=True):
        out = ""
        for byte in line:
            if byte == 0x0A:
                out += "\\n"
            elif byte in b'"\\':
                out += "\\" + chr(byte)
            elif 0x20 <= byte < 0x7F:
                out += chr(byte)
            else:
                out += f"\\{byte:03o}"  # three digits: unlike \x it ends where it should
        # "??" begins a trigraph, of which old standards and warnings know
        lines.append('    "' + out.replace("??", '?""?') + '"')
    return "\n".join(lines) or '    ""'


class Writer:
    """Collects declarations and definitions. Each table is numbered: names made of names could meet."""

    def __init__(self, interface):
        self.interface = interface
        self.declarations = []
        self.definitions = []
        self.count = 0
        self.named = {}  # a named type's InterfaceType
        self.builtin = {}

    def number(self):
        self.count += 1
        return self.count

    def table(self, type_, symbol, rows, comment, size=None):
        # a tentative definition of a static array needs its size
        if size is not None:
            self.declarations.append(f"static const {type_} {symbol}[{size}];")
            body = "".join(f"    {row},\n" for row in rows)
            self.definitions.append(f"/* {comment} */\nstatic const {type_} {symbol}[{size}] = {{\n{body}}};")
        else:
            self.declarations.append(f"static const {type_} {symbol};")
            self.definitions.append(f"/* {comment} */\nstatic const {type_} {symbol} = {{ {', '.join(rows)} }};")

    def fields(self, struct, comment):
        """The symbol of a struct's fields."""
        symbol = f"fields_{self.number()}"
        rows = [self.field(f, f"{comment}.{f.name}") for f in struct.fields]
        self.table("InterfaceField", symbol, rows + ["{ .name = NULL }"], comment, len(rows) + 1)
        return symbol

    def field(self, field, comment):
        row = [f'.name = "{field.name}"', f".type = &{self.type(field.type, comment)}"]
        if field.optional:
            row.append(".optional = true")
        if field.container:
            row.append(f".{field.container} = true")
        return "{ " + ", ".join(row) + " }"

    def type(self, type_, comment):
        """The symbol of an InterfaceType."""
        if isinstance(type_, Named):
            return self.named_type(type_.name)
        if isinstance(type_, Builtin):
            if type_.kind not in self.builtin:
                self.builtin[type_.kind] = f"type_{self.number()}"
                self.table("InterfaceType", self.builtin[type_.kind], [f".kind = {type_.kind}"], "built in")
            return self.builtin[type_.kind]
        symbol = f"type_{self.number()}"
        self.define_type(type_, symbol, comment)
        return symbol

    def define_type(self, type_, symbol, comment):
        if isinstance(type_, Enum):
            names = f"names_{self.number()}"
            rows = [f'"{name}"' for name in type_.names] + ["NULL"]
            self.table("char *const", names, rows, comment, len(rows))
            row = [".kind = INTERFACE_ENUM", f".names = {names}"]
        elif isinstance(type_, Field):
            element = f"fields_{self.number()}"
            rows = [self.field(type_, comment + "[]"), "{ .name = NULL }"]
            self.table("InterfaceField", element, rows, comment + "[]", len(rows))
            row = [".kind = INTERFACE_NESTED", f".fields = {element}"]
        else:
            row = [".kind = INTERFACE_STRUCT", f".fields = {self.fields(type_, comment)}"]
        self.table("InterfaceType", symbol, row, comment)

    def named_type(self, name):
        # the symbol is known before the table is made: that is how a type can contain itself
        if name not in self.named:
            self.named[name] = f"type_{self.number()}"
            self.define_type(self.interface.types[name], self.named[name], name)
        return self.named[name]

    def write(self):
        i = self.interface
        symbol = "interface_" + re.sub(r"[^A-Za-z0-9]", "_", i.name)
        rows = []
        for name, in_, out in i.methods:
            members = f".in = {self.fields(in_, name)}, .out = {self.fields(out, name + ' ->')}"
            rows.append(f'{{ .name = "{name}", {members} }}')
        self.table("InterfaceMethod", "methods", rows + ["{ .name = NULL }"], "methods", len(rows) + 1)
        rows = [f'{{ .name = "{name}", .fields = {self.fields(struct, name)} }}' for name, struct in i.errors]
        self.table("InterfaceError", "errors", rows + ["{ .name = NULL }"], "errors", len(rows) + 1)

        head = f"/* Made by proto/generate.py from {i.name}.varlink. Changes here are lost. */"
        define = (
            f"extern const Interface {symbol};\n"
            f"const Interface {symbol} = {{\n"
            f'    .name = "{i.name}",\n'
            f"    .description = description,\n"
            f"    .methods = methods,\n"
            f"    .errors = errors,\n"
            f"}};\n"
        )
        description = f"static const char description[] =\n{c_string(i.description)};"
        parts = [head, '#include "proto/interface.h"', "\n".join(self.declarations), *self.definitions, description, define]
        return "\n\n".join(parts)


def parse(text):
    if "\0" in text:
        raise Invalid(text.index("\0"), "a NUL character")
    return Parser(text).interface()


def main(arguments):
    if len(arguments) != 2:
        print("usage: generate.py FILE.varlink OUTPUT.c", file=sys.stderr)
        return 2
    source, output = arguments
    try:
        with open(source, encoding="utf-8", newline="") as f:
            text = f.read()
        tables = Writer(parse(text)).write()
    except UnicodeDecodeError as e:
        print(f"{source}: byte {e.start}: not UTF-8", file=sys.stderr)
        return 1
    except Invalid as e:
        line = text.count("\n", 0, e.at) + 1
        column = e.at - (text.rfind("\n", 0, e.at) + 1) + 1
        print(f"{source}:{line}:{column}: {e}", file=sys.stderr)
        return 1
    with open(output, "w", encoding="utf-8") as f:
        f.write(tables)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
