# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What ordinary programs do in a container, and what is found of it: packages that are installed, compilers, interpreters,
servers, the tools of an init system. Every finding is printed (pytest -s); each is argued for below, or it is a mistake.

KENNEL_FALSE_ALARM_SECONDS=600 does all of it again and again for ten minutes.
"""

import base64
import collections
import io
import os
import re
import time
import zipfile

import pytest
from kenneld import PATIENCE
from rogues import UNANSWERED

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("KENNEL_FALSE_ALARM_SECONDS", "0"))


def wheel():
    """A package that pip installs: one module, and a program that calls it."""
    files = {
        "hello_kennel.py": "def main():\n    print('hello from a wheel')\n",
        "hello_kennel-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: hello-kennel\nVersion: 1.0\n",
        "hello_kennel-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "hello_kennel-1.0.dist-info/entry_points.txt": "[console_scripts]\nhello-kennel = hello_kennel:main\n",
    }
    files["hello_kennel-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, text in files.items():
            z.writestr(name, text)
    return base64.b64encode(out.getvalue()).decode()


# name: (script, what it prints at its end)
WORK = {
    "gcc": (
        r"""
        cd /tmp; printf '#include <stdio.h>\nint main(void) { return puts("hello from inside") < 0; }\n' >hello.c
        gcc -O2 -o hello hello.c; gcc -c -o hello.o hello.c; ar rc libhello.a hello.o; ./hello""",
        "hello from inside",
    ),
    "apt": (
        r"""
        export DEBIAN_FRONTEND=noninteractive
        mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin; cd /tmp
        printf 'Package: hello-kennel\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n' >p/DEBIAN/control
        printf '#!/bin/sh\nset -e\nldconfig\nexit 0\n' >p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst
        printf '#!/bin/sh\necho hello from a package\n' >p/usr/bin/hello-kennel; chmod 755 p/usr/bin/hello-kennel
        dpkg-deb --root-owner-group -b p hello.deb >/dev/null
        apt-get install -y ./hello.deb >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
        hello-kennel >/tmp/out; apt-get purge -y hello-kennel >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
        cat /tmp/out""",
        "hello from a package",
    ),
    "pip": (
        rf"""
        cd /tmp; python3 -m venv v; echo {wheel()} | base64 -d >hello_kennel-1.0-py3-none-any.whl
        v/bin/python -m pip install -q --no-index --disable-pip-version-check ./hello_kennel-1.0-py3-none-any.whl
        v/bin/pip list --disable-pip-version-check | grep -q hello-kennel
        v/bin/python -c 'import hello_kennel; hello_kennel.main()'; v/bin/hello-kennel""",
        "hello from a wheel",
    ),
    "python": (
        r"""python3 -c '
import ctypes, json, multiprocessing, socket, sqlite3, subprocess, tempfile, threading
def work(q): q.put(sum(range(100000)))
q = multiprocessing.Queue(); p = multiprocessing.Process(target=work, args=(q,)); p.start(); q.get(); p.join()
subprocess.run(["ls", "/"], check=True, stdout=subprocess.DEVNULL)
callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7); assert callback() == 7
sqlite3.connect("/tmp/x.db").execute("create table t (n)")
a, b = socket.socketpair(); threading.Thread(target=lambda: a.send(b"x")).start(); b.recv(1)
print("hello from python")'""",
        "hello from python",
    ),
    "node": (
        r"""node -e '
const http = require("http"), child = require("child_process"), { Worker } = require("worker_threads");
const server = http.createServer((q, r) => r.end("hello from node")).listen(8080, "127.0.0.1", () =>
  http.get("http://127.0.0.1:8080/", r => r.on("data", d => {
    new Worker("let n = 0; for (let i = 0; i < 3e7; i++) n += i % 7;", { eval: true }).on("exit", () => {
      child.execSync("ls /"); console.log(String(d)); server.close(); });
  })));'""",
        "hello from node",
    ),
    "nginx": (
        r"""
        printf 'user www-data; pid /tmp/nginx.pid; error_log /tmp/e; events {}
        http { access_log /tmp/a; server { listen 8081; location / { return 200 "hello from nginx\\n"; } } }' >/tmp/nginx.conf
        nginx -c /tmp/nginx.conf
        ask='import urllib.request as u; print(u.urlopen("http://127.0.0.1:8081/").read().decode(), end="")'
        for i in 1 2 3; do python3 -c "$ask"; done; nginx -c /tmp/nginx.conf -s reload; sleep 1.5; python3 -c "$ask"
        nginx -c /tmp/nginx.conf -s quit""",
        "hello from nginx",
    ),
    "systemd": (
        r"""
        systemd-analyze --version >/dev/null; journalctl --version >/dev/null; systemctl --version >/dev/null
        systemd-tmpfiles --create --remove 2>/tmp/e || :; systemd-sysusers 2>/tmp/e || :
        systemd-analyze verify /lib/systemd/system/basic.target 2>/tmp/e || :; systemd-analyze calendar daily >/dev/null
        systemd-detect-virt >/dev/null || :; systemd-id128 new >/dev/null; systemd-path >/dev/null || :
        systemctl list-units >/dev/null 2>&1 || :; journalctl --no-pager -n 1 >/dev/null 2>&1 || :
        systemd-cgls >/dev/null 2>&1 || :; systemd-escape x >/dev/null; hostnamectl >/dev/null 2>&1 || :
        systemd-notify --booted || :; systemd-machine-id-setup >/dev/null 2>&1 || :; echo hello from systemd""",
        "hello from systemd",
    ),
    "shell": (
        r"""
        cd /tmp; for i in $(seq 200); do echo $i; done | sort -n | awk '{ s += $1 } END { exit s != 20100 }'
        find / -xdev -name '*.conf' 2>/dev/null | xargs -P 4 -n 20 cat 2>/dev/null | sha256sum >/dev/null
        tar cf - -C /usr/share . 2>/dev/null | gzip -1 | tail -c 1 >/dev/null; perl -e 'print "x" x 10' | md5sum >/dev/null
        bash -c 'exec -a another-name sleep 0.1'; (sleep 0.2 &) ; setsid sleep 0.1; nice -n 5 true; timeout 5 true
        ldd /bin/ls >/dev/null; env -i /bin/true; su -s /bin/sh -c true nobody; runuser -u nobody -- id >/dev/null
        echo hello from the shell""",
        "hello from the shell",
    ),
    "postgresql": (
        r"""
        export DEBIAN_FRONTEND=noninteractive LC_ALL=C
        dpkg -i /debs/*.deb >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
        pg_ctlcluster 15 main start || { cat /var/log/postgresql/*; exit 1; }
        runuser -u postgres -- psql -Atc "set jit = on; create table t (n int); insert into t select generate_series(1, 100000);
            create index on t (n); analyze t; select sum(n) from t" | tail -1
        pg_ctlcluster 15 main restart; runuser -u postgres -- psql -Atc "select count(*) from t" >/dev/null
        pg_ctlcluster 15 main stop; echo hello from postgresql""",
        "hello from postgresql",
    ),
}

RANK = {"low": 0, "medium": 1, "high": 2}
# What is true, and no mistake: (work, kinds, program, highest severity, why). Nothing else may be found.
ARGUED = [
    ("gcc", {"foreignProgram"}, r"/tmp/hello", "medium", "built here, and run"),
    ("apt", {"foreignProgram", "foreignScript"}, r"/var/lib/dpkg/.*(postinst|prerm|postrm)", "medium", "a maintainer script, installed here"),
    ("apt", {"foreignProgram", "foreignScript"}, r"/usr/bin/hello-kennel", "medium", "installed here, and run"),
    ("pip", {"foreignProgram", "foreignScript"}, r"/tmp/v/bin/(pip|hello-kennel)", "medium", "a script that was installed here, and run"),
    ("postgresql", {"foreignProgram", "foreignScript"}, r"/var/lib/dpkg/.*(preinst|postinst|config)", "medium", "a maintainer script, installed here"),
    ("postgresql", {"foreignProgram"}, r"/usr/lib/postgresql/15/bin/\w+", "medium", "installed here, and run"),
    ("nginx", {"listener"}, r"/usr/sbin/nginx", "low", "a port on all addresses that is not published"),
]


def argument(work, f):
    for where, kinds, program, severity, why in ARGUED:
        if work == where and f["kind"] in kinds and re.fullmatch(program, f["program"] or "") and RANK[f["severity"]] <= RANK[severity]:
            return why
    return None


class Ordinary:
    def __init__(self, kennel, root):
        self.kennel = kennel
        self.flags = ["--rootfs", root, "--cap-add", "system", "-v", f"{root}.debs:/debs:ro"]

    def do(self, name):
        """Its findings; one container for each, as findings are a container's."""
        container = self.kennel.start_container(*self.flags)
        script, end = WORK[name]
        out = self.kennel.kennel("exec", container, "/bin/sh", "-c", f"set -e\n{script}", timeout=PATIENCE * 9)
        assert out.code == 0 and end in out.stdout, (name, out)
        # the last of it is looked at within two looks
        time.sleep(2.1)
        reply = self.kennel.call("Rogues", container=container)
        assert reply["dropped"] <= UNANSWERED, reply["dropped"]
        self.kennel.kennel("rm", "-f", container).ok()
        return reply["findings"]


def show(name, found):
    for f in found:
        why = argument(name, f) or "NOT ARGUED FOR"
        print(f"{name:10} {f['kind']:15} {f['severity']:6} x{f['count']:<4} {f['program']} ({f['processName']}): {f['evidence']} -- {why}")


@pytest.mark.parametrize("name", WORK)
def test_ordinary_work(kennel, debian_root, name):
    found = Ordinary(kennel, debian_root).do(name)
    show(name, found)
    mistakes = [(f["kind"], f["severity"], f["program"], f["evidence"]) for f in found if not argument(name, f)]
    assert not mistakes, mistakes
    if name == "gcc":
        assert [(f["kind"], f["program"]) for f in found] == [("foreignProgram", "/tmp/hello")]
    if name in ("python", "node", "shell", "systemd"):
        assert not found


def test_killing_on_sight_spares_ordinary_work(kennel, debian_root):
    """With every detector set to kill, what gives no finding is not touched."""
    kinds = [d["detector"] for d in kennel.call("Info")["detectors"]]
    assert kinds
    watch = [{"detector": k, "action": "killProcess"} for k in kinds]
    for name in ("python", "node", "shell"):
        reply = kennel.call(
            "Run", command=["sleep", "infinity"], rootfsPath=str(debian_root), capAdd=["system"], watch=watch
        )
        container = reply["container"]["id"]
        kennel.ids.add(container)
        script, end = WORK[name]
        out = kennel.kennel("exec", container, "/bin/sh", "-c", f"set -e\n{script}", timeout=PATIENCE * 6)
        assert out.code == 0 and end in out.stdout, (name, out)


@pytest.mark.skipif(not SECONDS, reason="takes long: KENNEL_FALSE_ALARM_SECONDS=600")
def test_for_a_long_time(kennel, debian_root):
    ordinary, begin, rounds = Ordinary(kennel, debian_root), time.monotonic(), 0
    counts, samples = collections.Counter(), {}
    while time.monotonic() - begin < SECONDS:
        for name in WORK:
            for f in ordinary.do(name):
                key = (name, f["kind"], f["severity"], f["program"], argument(name, f))
                counts[key] += f["count"]
                samples.setdefault(key, f["evidence"])
        rounds += 1
    print(f"{rounds} rounds in {time.monotonic() - begin:.0f} s")
    for key, n in counts.items():
        print(f"{n:6} {key[0]:10} {key[1]:15} {key[2]:6} {key[3]}: {samples[key]} -- {key[4] or 'NOT ARGUED FOR'}")
    assert not [key for key in counts if not key[4]]
