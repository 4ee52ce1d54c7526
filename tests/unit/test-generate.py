#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What proto/generate.py takes and refuses, and that what it writes compiles and says what the file says."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GENERATE = os.path.join(ROOT, "proto", "generate.py")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "proto"))

import generate  # noqa: E402

GOOD = [
    "interface a.b\nmethod F()->()",
    "interface a.b\nmethod F() -> ()\n",
    "# before\ninterface org.example.more-than-one # behind\n\n# between\nmethod F() -> () # at the end",
    "interface xn--lgbbat1ad8j.example.algeria\nmethod F()->()",
    "interface com.example.0example\nmethod F()->()",
    "interface a.b\ntype T ()\n",
    "interface a.b\ntype T (a, b)\n",
    "interface a.b\ntype T (a)\n",
    "interface a.b\ntype T(a:bool,b_c:[]?[string](x,y),d:?[](e:int))\n",
    "interface a.b\ntype T (next: ?T, all: []T)\nmethod F(t: U) -> ()\ntype U (t: T)",
    "interface a.b\nerror E ()\nerror F (a: ?object)\n",
    "interface a.b\r\nmethod F(\r\n  a: int # one\r\n  ,\r\n\tb: float) # two\r\n->(c: string)\r\n",
    "interface a.b\nmethod Method(method: int, type: int, error: int, interface: int) -> ()\n",
]

# text, line, column, part of the message
BAD = [
    ("", 1, 1, "'interface' is expected, not the end of the file"),
    ("method F()->()", 1, 1, "'interface' is expected, not 'method'"),
    ("interfacea.b\nmethod F()->()", 1, 1, "'interface' is expected"),
    ("interface a\nmethod F()->()", 1, 11, "an interface's name is expected, not 'a'"),
    ("interface a.\nmethod F()->()", 1, 11, "an interface's name is expected"),
    ("interface com.-example.x\nmethod F()->()", 1, 11, "an interface's name is expected"),
    ("interface com.example-.x\nmethod F()->()", 1, 11, "an interface's name is expected"),
    ("interface com.Example\nmethod F()->()", 1, 11, "an interface's name is expected"),
    ("interface 1om.example\nmethod F()->()", 1, 11, "an interface's name is expected"),
    ("interface a.b_c\nmethod F()->()", 1, 11, "an interface's name is expected"),
    ("interface a." + "b" * 254 + "\nmethod F()->()", 1, 11, "255 characters"),
    ("interface a.b method F()->()", 1, 15, "a new line is expected"),
    ("interface a.b\n", 2, 1, "one type, method or error at least"),
    ("interface a.b\nmethods F()->()", 2, 1, "'type', 'method' or 'error' is expected, not 'methods'"),
    ("interface a.b\nmethod f()->()", 2, 8, "a method's name is expected, not 'f'"),
    ("interface a.b\nmethod F_g()->()", 2, 8, "a method's name is expected"),
    ("interface a.b\nmethod F()", 2, 11, "'->' is expected, not the end of the file"),
    ("interface a.b\nmethod F()-> int", 2, 14, "'(' is expected, not 'int'"),
    ("interface a.b\nmethod F()->() method G()->()", 2, 16, "a new line is expected, not 'method'"),
    ("interface a.b\nmethod F(a)->()", 2, 9, "not an enum's names"),
    ("interface a.b\nmethod F(b:)->()", 2, 12, "a type is expected"),
    ("interface a.b\nmethod F(b: int,)->()", 2, 17, "a field's name is expected, not ')'"),
    ("interface a.b\nmethod F(b: int c: int)->()", 2, 17, "',' is expected, not 'c'"),
    ("interface a.b\nmethod F(b: integer)->()", 2, 13, "a type is expected, not 'integer'"),
    ("interface a.b\nmethod F(b: ??int)->()", 2, 14, "'?' occurs twice"),
    ("interface a.b\nmethod F(b: ? int)->()", 2, 14, "a type is expected"),
    ("interface a.b\nmethod F(b: [int]string)->()", 2, 13, "'[]' or '[string]' is expected"),
    ("interface a.b\nmethod F(b: [] int)->()", 2, 15, "a type is expected"),
    ("interface a.b\nmethod F(b: int[])->()", 2, 16, "',' is expected"),
    ("interface a.b\nmethod F(1b: int)->()", 2, 10, "a field's name is expected"),
    ("interface a.b\nmethod F(b__c: int)->()", 2, 10, "a field's name is expected"),
    ("interface a.b\nmethod F(b_: int)->()", 2, 10, "a field's name is expected"),
    ("interface a.b\nmethod F(b: int, b: int)->()", 2, 18, "field b occurs twice"),
    ("interface a.b\ntype T (a, a)", 2, 12, "field a occurs twice"),
    ("interface a.b\ntype T (a, b: int)", 2, 12, "a struct's fields have types"),
    ("interface a.b\ntype T int", 2, 8, "'(' is expected, not 'int'"),
    ("interface a.b\ntype T []int", 2, 8, "'(' is expected"),
    ("interface a.b\ntype T (\na: X)", 3, 4, "there is no type X"),
    ("interface a.b\nerror E (a: [string]?X)", 2, 22, "there is no type X"),
    ("interface a.b\nerror E\n", 3, 1, "'(' is expected"),
    ("interface a.b\nerror E (a, b)", 2, 9, "not an enum's names"),
    ("interface a.b\nmethod F()->()\ntype F ()", 3, 6, "member F occurs twice"),
    ("interface a.b\nmethod F()->()\0", 2, 15, "a NUL character"),
]

EVERYTHING = """# "quoted", back\\slash, ??= and \u00b5
interface org.example.every-thing
type Node (value: int, next: ?Node, kind: (leaf, inner))
type Kind (one, two)
type Unused (a: Kind)
method Empty() -> ()
method All(
  a: bool, b: ?int, c: []float, d: [string]string, e: object, f: Kind, g: ?[]Kind, h: (x: int, y: (z: Node)),
  i: ?[]?[string](p, q), j: [][]int, k: [string]()
) -> (node: Node)
error Bad (reason: string)
"""


class Grammar(unittest.TestCase):
    def test_good(self):
        for text in GOOD:
            with self.subTest(text):
                generate.Writer(generate.parse(text)).write()

    def test_bad(self):
        for text, line, column, message in BAD:
            with self.subTest(text), tempfile.TemporaryDirectory() as d:
                source, output = os.path.join(d, "x.varlink"), os.path.join(d, "x.c")
                with open(source, "w", newline="") as f:
                    f.write(text)
                run = subprocess.run([sys.executable, GENERATE, source, output], capture_output=True, text=True)
                self.assertEqual(run.returncode, 1, run.stderr)
                self.assertTrue(run.stderr.startswith(f"{source}:{line}:{column}: "), run.stderr)
                self.assertIn(message, run.stderr)
                self.assertFalse(os.path.exists(output))

    def test_not_utf8(self):
        with tempfile.TemporaryDirectory() as d:
            source = os.path.join(d, "x.varlink")
            with open(source, "wb") as f:
                f.write(b"interface a.b\n# \xff\nmethod F()->()\n")
            run = subprocess.run([sys.executable, GENERATE, source, source + ".c"], capture_output=True, text=True)
            self.assertEqual(run.returncode, 1)
            self.assertIn("byte 16: not UTF-8", run.stderr)


class Tables(unittest.TestCase):
    def test_same_every_time(self):
        texts = {generate.Writer(generate.parse(EVERYTHING)).write() for _ in range(3)}
        self.assertEqual(len(texts), 1)

    @unittest.skipUnless(shutil.which("cc"), "there is no cc to compile the tables with")
    def test_compiles(self):
        program = """
            #include "proto/interface.h"
            #include <string.h>
            extern const Interface interface_org_example_every_thing;
            int main(void) {
                const Interface *i = &interface_org_example_every_thing;
                const InterfaceField *f = i->methods[1].in;
                if (i->methods[0].in->name || i->methods[2].name || strcmp(i->errors[0].name, "Bad") || i->errors[1].name)
                    return 1;
                if (f[0].type->kind != INTERFACE_BOOL || f[0].optional || !f[1].optional || !f[2].array || !f[3].map)
                    return 2;
                if (f[5].type->kind != INTERFACE_ENUM || strcmp(f[5].type->names[1], "two") || f[5].type->names[2])
                    return 3;
                /* ?[]?[string](p, q): an element is nullable, and a map */
                const InterfaceField *element = f[8].type->fields;
                if (f[8].type->kind != INTERFACE_NESTED || !f[8].optional || !f[8].array || !element->optional ||
                    !element->map || element->type->kind != INTERFACE_ENUM)
                    return 4;
                const InterfaceField *node = i->methods[1].out[0].type->fields;
                if (node[1].type->fields != node || f[7].type->fields[1].type->fields[0].type->fields != node)
                    return 5;
                return strncmp(i->description, DESCRIPTION, strlen(DESCRIPTION)) ? 6 : 0;
            }
        """
        with tempfile.TemporaryDirectory() as d:
            tables, main, binary = (os.path.join(d, n) for n in ("tables.c", "main.c", "main"))
            with open(tables, "w") as f:
                f.write(generate.Writer(generate.parse(EVERYTHING)).write())
            with open(main, "w") as f:
                f.write(f"#define DESCRIPTION {generate.c_string(EVERYTHING.splitlines()[0])}\n" + program)
            flags = subprocess.run(["pkg-config", "--cflags", "json-c"], capture_output=True, text=True).stdout.split()
            command = ["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wmissing-prototypes", "-Werror"]
            command += ["-I", os.path.join(ROOT, "include"), "-I", ROOT, *flags, main, tables, "-o", binary, "-ljson-c"]
            subprocess.run(command, check=True)
            self.assertEqual(subprocess.run([binary]).returncode, 0)


if __name__ == "__main__":
    unittest.main()
