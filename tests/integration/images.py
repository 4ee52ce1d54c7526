# SPDX-License-Identifier: LGPL-2.1-or-later
"""Root file systems for tests: made from Debian's packages, nothing fetched by name of a host."""

import os
import pathlib
import shutil
import subprocess
import sys


def busybox(path):
    """A root with nothing but a static busybox, every applet a link. PATH is made anew if it is not there."""
    path = pathlib.Path(path)
    if (path / "etc" / "passwd").exists():
        return path
    for directory in ("bin", "etc", "tmp", "proc", "dev", "sys", "root", "home", "usr/bin", "sbin", "var"):
        (path / directory).mkdir(parents=True, exist_ok=True)
        (path / directory).chmod(0o755)
    (path / "tmp").chmod(0o1777)
    shutil.copy2("/bin/busybox", path / "bin" / "busybox")
    applets = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        link = path / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
    (path / "etc" / "group").write_text("root:x:0:\nworkers:x:100:alice\nstaff:x:50:alice\n")
    (path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100:Alice:/home:/bin/sh\n")
    os.chmod(path, 0o755)
    return path


SERVER = "postgresql-15"
# What test_false_alarms.py has at work, beside the server; test_images.py needs the first three.
ORDINARY = "python3-minimal,gcc,libc6-dev,python3-venv,nodejs,nginx-light,systemd"


def debian(path):
    """A small Debian with bash, python3, gcc, node, nginx, systemd's tools and all that postgresql's server needs, but not
    the server itself: its package is in PATH.debs. mmdebstrap finds its mirror by itself."""
    path = pathlib.Path(path)
    done = path.with_suffix(".done")
    if done.exists():
        return path
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)
    debs = path.with_suffix(".debs")
    debs.mkdir(exist_ok=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        f"--include={ORDINARY},{SERVER}",
        "--aptopt=APT::Install-Recommends false",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        f"--customize-hook=chroot \"$1\" apt-get download {SERVER}",
        f"--customize-hook=chroot \"$1\" dpkg --purge {SERVER}",
        f"--customize-hook=mv \"$1\"/{SERVER}_*.deb {debs}",
        "bookworm",
        str(path),
    ]
    made = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert made.returncode == 0, made.stderr[-4000:]
    path.chmod(0o755)
    done.touch()
    return path


if __name__ == "__main__":
    debian(sys.argv[1])
