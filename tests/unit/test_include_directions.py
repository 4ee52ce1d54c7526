# SPDX-License-Identifier: LGPL-2.1-or-later
"""The direction of every include: arrows point down only.

rpc -> container -> {account, watch} -> {sandbox, cgroup, network, storage} -> util -> include, and proto beside util.
The client stands on include and proto alone. Folders of one rank do not know each other.

By itself the file prints what is wrong: `python3 tests/unit/test_include_directions.py`.
"""

import pathlib
import re
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ROOTS = ("include", ".", "daemon")

RANKS = {
    "include": 0,
    "daemon/util": 1,
    "proto": 1,
    "daemon/sandbox": 2,
    "daemon/cgroup": 2,
    "daemon/network": 2,
    "daemon/storage": 2,
    "daemon/account": 3,
    "daemon/watch": 3,
    "daemon/container": 4,
    "daemon/rpc": 5,
    "daemon": 6,
    "client": 6,
}
# The client is a program of its own and never links what makes the daemon.
FORBIDDEN = {("client", folder) for folder in RANKS if folder.startswith("daemon")}
QUOTED = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def folder_of(path):
    """The key of RANKS for a path relative to the repository; None for tests, which may include anything."""
    parts = path.parts
    for depth in (2, 1):
        if "/".join(parts[:depth]) in RANKS and len(parts) > depth - (parts[0] == "include"):
            return "/".join(parts[:depth])
    return None


def resolve(included, exists):
    for root in ROOTS:
        path = pathlib.Path(root, included) if root != "." else pathlib.Path(included)
        if exists(path):
            return path
    return None


def check_file(path, text, exists):
    """What is wrong with the includes of one file."""
    source = folder_of(path)
    for included in QUOTED.findall(text):
        target_path = resolve(included, exists)
        if target_path is None:
            yield f'{path}: "{included}" is below none of {", ".join(ROOTS)}'
            continue
        target = folder_of(target_path)
        if target is None:
            yield f'{path}: "{included}" is none of the folders that have a rank'
        elif source != target and (RANKS[target] >= RANKS[source] or (source, target) in FORBIDDEN):
            yield f'{path}: {source} must not include "{included}" of {target}'


def check_tree(root):
    for path in sorted(root.glob("**/*.[ch]")):
        relative = path.relative_to(root)
        if folder_of(relative):
            yield from check_file(relative, path.read_text(), lambda p: (root / p).is_file())


def test_tree():
    assert list(check_tree(REPOSITORY)) == []


def test_the_check_can_fail():
    def wrong(path, text):
        there = {"include/kennel/error.h", "proto/json.h"}
        return list(check_file(pathlib.Path(path), text, lambda p: str(p) in there or p.parts[0] == "daemon"))

    assert not wrong("daemon/rpc/a.c", '#include "container/container.h"\n#include "kennel/error.h"')
    assert not wrong("daemon/sandbox/a.c", '#include "proto/json.h"\n#include "util/log.h"\n#include "sandbox/b.h"')
    for path, included in (
        ("daemon/util/a.c", "container/container.h"),
        ("daemon/util/a.c", "proto/json.h"),
        ("daemon/sandbox/a.h", "cgroup/group.h"),
        ("daemon/cgroup/a.h", "sandbox/sandbox.h"),
        ("daemon/container/a.c", "rpc/server.h"),
        ("daemon/account/a.c", "watch/x.h"),
        ("client/a.c", "util/log.h"),
        ("proto/a.c", "util/log.h"),
        ("include/kennel/a.h", "util/log.h"),
    ):
        assert len(wrong(path, f'#include "{included}"')) == 1, (path, included)
    assert list(check_file(pathlib.Path("client/a.c"), '#include "nosuch.h"', lambda p: False))


if __name__ == "__main__":
    problems = list(check_tree(REPOSITORY))
    print("\n".join(problems) or "every include points down")
    sys.exit(bool(problems))
