# SPDX-License-Identifier: LGPL-2.1-or-later
"""Root file systems: the built-in image, a busybox root, and a Debian made by mmdebstrap."""

import os
import pathlib
import subprocess

import pytest
from kenneld import PATIENCE

HELLO = '#include <stdio.h>\nint main(void) { return puts("hello from inside") < 0; }\n'


def fingerprint(root):
    """Every path with its mode, owner, size and time of change: DIR itself is never written."""
    out = []
    for base, directories, files in os.walk(root):
        for name in [".", *directories, *files]:
            s = os.lstat(os.path.join(base, name))
            out.append((os.path.join(base, name), s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_ctime_ns))
    return sorted(out)


def test_host_image_has_usr_and_a_made_up_etc(kennel):
    out = kennel.sh("cat /etc/passwd /etc/hostname /etc/hosts /etc/os-release; ls /; ls /etc; ls /usr/bin/env")
    assert "root:x:0:0:" in out and "/usr/bin/env" in out
    assert not {"shadow", "shadow-", "gshadow", "ssh", "sudoers", "crontab"} & set(out.split())
    # what tells one host from another
    own = pathlib.Path("/etc/machine-id")
    assert not own.exists() or not own.read_text().strip() or own.read_text() not in kennel.sh("cat /etc/machine-id")
    assert pathlib.Path("/etc/hostname").read_text() not in kennel.sh("cat /etc/hostname /etc/hosts; hostname")


def test_host_image_hides_the_rest_of_the_host(kennel, scratch):
    (scratch / "canary").write_text("x")
    script = f"ls /work /home /srv /opt /root /boot /var/lib /run /tmp; ls {scratch}; :"
    out = kennel.run("--", "/bin/sh", "-c", script)
    assert "canary" not in out.stdout and "kennel" not in out.stdout.replace("kenneld", ""), out.stdout


def test_host_image_usr_cannot_be_written(kennel):
    result = kennel.run("--read-only", "--", "touch", "/usr/bin/planted", "/etc/planted")
    assert result.code != 0
    kennel.sh("touch /etc/planted /var/planted; rm -f /usr/bin/env; :")
    assert not pathlib.Path("/usr/bin/planted").exists()
    assert pathlib.Path("/usr/bin/env").exists()
    assert "planted" not in kennel.sh("ls /etc /var")


def test_host_image_runs_python_and_bash(kennel):
    assert kennel.run("--", "bash", "-c", "echo $((6 * 7))").ok() == "42\n"
    assert kennel.run("--", "/usr/bin/python3", "-c", "print(6 * 7)").ok() == "42\n"


def test_busybox_root(kennel, busybox_root):
    before = fingerprint(busybox_root)
    out = kennel.sh(
        "id; cat /etc/passwd; echo changed >/etc/passwd; touch /new /root/new; rm -r /home; ls -ld /etc; ls /",
        "--rootfs",
        busybox_root,
    )
    assert out.startswith("uid=0(root) gid=0(root)")
    assert "alice" in out and "new" in out.split()
    assert fingerprint(busybox_root) == before, "the root file system was written"


def test_busybox_root_read_only(kennel, busybox_root):
    result = kennel.run("--read-only", "--rootfs", busybox_root, "--", "touch", "/new")
    assert result.code == 1 and "Read-only file system" in result.stderr


def test_files_of_the_image_are_roots_inside(kennel, busybox_root):
    out = kennel.sh("stat -c %u:%g /bin /etc/passwd /tmp; touch /tmp/x; stat -c %u:%g /tmp/x", "--rootfs", busybox_root)
    assert set(out.split()) == {"0:0"}


def test_two_containers_on_one_root_do_not_share_writes(kennel, busybox_root):
    one = kennel.start_container("--rootfs", busybox_root, command=("/bin/sh", "-c", "echo one >/etc/mark; sleep 1000"))
    two = kennel.start_container("--rootfs", busybox_root)
    assert kennel.kennel("exec", one, "/bin/sh", "-c", "until cat /etc/mark 2>/dev/null; do :; done").ok() == "one\n"
    assert kennel.kennel("exec", two, "ls", "/etc").ok().split() == ["group", "passwd"] or "mark" not in kennel.kennel(
        "exec", two, "ls", "/etc"
    ).ok()


def test_users_by_the_images_names(kennel, busybox_root):
    flags = ("--rootfs", busybox_root)
    assert kennel.run(*flags, "-u", "alice", "--", "id", "-u").ok() == "1000\n"
    assert kennel.run(*flags, "-u", "alice", "--", "id", "-g").ok() == "100\n"
    assert kennel.run(*flags, "-u", "alice:staff", "--", "id", "-g").ok() == "50\n"
    assert kennel.run(*flags, "-u", "1000:7", "--", "id", "-g").ok() == "7\n"
    assert kennel.run(*flags, "-u", "nobody-here", "--", "id").code == 125


def test_a_root_that_is_missing_or_a_file(kennel, scratch):
    (scratch / "file").write_text("x")
    for path in (scratch / "missing", scratch / "file"):
        result = kennel.run("--rootfs", path, "--", "true")
        assert result.code == 125 and str(path) in result.stderr, result


def test_an_empty_root_is_said_to_lack_the_program(kennel, scratch):
    result = kennel.run("--rootfs", scratch, "--", "/bin/true")
    assert result.code == 127, result


@pytest.mark.slow
class TestDebian:
    def test_bash_and_python(self, kennel, debian_root):
        flags = ("--rootfs", debian_root)
        assert kennel.run(*flags, "--", "bash", "-c", "echo $BASH_VERSION; python3 -c 'print(6 * 7)'").ok().endswith("42\n")

    def test_compile_hello(self, kennel, debian_root):
        script = "cd /tmp && cat >hello.c && gcc -o hello hello.c && ./hello"
        out = kennel.run("-i", "--rootfs", debian_root, "--", "/bin/sh", "-c", script, input=HELLO)
        assert out.ok() == "hello from inside\n"

    def test_root_is_not_written(self, kennel, debian_root):
        mark = debian_root / "usr" / "bin"
        before = [fingerprint(debian_root / d) for d in ("etc", "usr/bin", "var/lib/dpkg")]
        kennel.sh("rm -rf /etc /usr/bin/gcc; :", "--rootfs", debian_root)
        assert [fingerprint(debian_root / d) for d in ("etc", "usr/bin", "var/lib/dpkg")] == before
        assert mark.is_dir()

    def test_dpkg_and_a_postgresql_server(self, kennel, debian_root):
        """The server's package is on a volume; its installation makes a user's cluster, which then serves."""
        script = r"""
        set -e
        export DEBIAN_FRONTEND=noninteractive LC_ALL=C
        dpkg -i /debs/*.deb >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
        pg_ctlcluster 15 main start || { cat /var/log/postgresql/*; exit 1; }
        runuser -u postgres -- psql -Atc "create table t (n int); insert into t select generate_series(1, 1000);
                                          select sum(n), current_user from t"
        stat -c %U /var/lib/postgresql/15/main
        pg_ctlcluster 15 main stop
        """
        flags = ("--rootfs", debian_root, "--cap-add", "system", "-v", f"{debian_root}.debs:/debs:ro")
        out = kennel.run(*flags, "--", "/bin/sh", "-c", script, timeout=PATIENCE * 9)
        assert out.ok().split("\n")[-3:] == ["500500|postgres", "postgres", ""], out

    def test_without_the_capabilities_nobody_becomes_another_user(self, kennel, debian_root):
        flags = ("--rootfs", debian_root)
        assert kennel.run(*flags, "--", "runuser", "-u", "nobody", "id").code != 0
        assert kennel.run("--cap-add", "system", *flags, "--", "runuser", "-u", "nobody", "id").code == 0


def test_image_by_name(kennel):
    container = kennel.call("Run", command=["sleep", "1000"], image="host")["container"]
    assert container["image"] == "host"


def test_rootfs_path_for_root(kennel, busybox_root):
    reply = kennel.call("Run", command=["sleep", "1000"], rootfsPath=str(busybox_root))
    kennel.ids.add(reply["container"]["id"])
    assert subprocess.run(["test", "-d", busybox_root], check=False).returncode == 0
    assert kennel.kennel("exec", reply["container"]["id"], "busybox").ok()
