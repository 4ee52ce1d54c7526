# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks for the virtual machines: a Debian made from its packages, the product on top of it.

What takes long is kept in the cache directory and made again when what it is made from changes: one root directory for
each release (mmdebstrap), and the trees that the tests run as containers. The product is compiled in that root, against
that release's libraries, in a build directory that is kept as well, and installed with `meson install`. A disk is made
for each run, from an overlay of all of these, and is thrown away.

Everything is mounted in a mount namespace that ends with the command; nothing is mounted that this machine could see.
No mirror is named: mmdebstrap finds one.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
CACHE = pathlib.Path(os.environ.get("KENNEL_VM_CACHE") or REPOSITORY / "build-vm").resolve()

PACKAGES = """
    systemd systemd-sysv dbus udev linux-image-cloud-amd64 initramfs-tools kmod passwd login
    gcc libc6-dev meson ninja-build pkg-config libseccomp-dev libjson-c-dev libsystemd-dev libselinux1-dev
    libapparmor-dev libmd-dev libnl-route-3-dev libnftables-dev libcmocka-dev
    python3-pytest python3-pytest-timeout busybox-static iproute2 nftables iperf3 e2fsprogs procps psmisc tmux
    varlink-go golang-go golang-github-varlink-go-dev golang-github-containers-common
    apparmor apparmor-utils selinux-policy-default policycoreutils selinux-utils
""".split()
# What one release has and the other does not, or has under another name.
RELEASES = {
    "bookworm": [],
    "trixie": ["systemd-dev", "python3-varlink"],
}
# Documentation is most of what dpkg would unpack. The product's manual pages come by meson and stay.
WITHOUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
# The initial file system needs to find one disk; with every module in it, it takes longer to unpack than all the rest.
INITRAMFS = """
    mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
    printf 'MODULES=list\\nCOMPRESS=gzip\\n' >"$1/etc/initramfs-tools/conf.d/kennel-vm"
    printf 'virtio_pci\\nvirtio_blk\\next4\\nquota_v2\\n' >"$1/usr/share/initramfs-tools/modules.d/kennel-vm"
"""
# Nothing of the building machine: mmdebstrap copies its name and its resolver, and names the mirror that it found.
CLEAN = """
    rm -f "$1/etc/resolv.conf" "$1/etc/apt/sources.list" "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap
    rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*
    echo kennel-vm >"$1/etc/hostname"
    printf '127.0.0.1 localhost kennel-vm\\n::1 localhost\\n' >"$1/etc/hosts"
    : >"$1/etc/machine-id"
"""
# Profiles of programs that are not here: to compile them takes longer than the rest of the boot.
PROFILES = """
    find "$1/etc/apparmor.d" -maxdepth 1 -type f -delete
"""
# Labels are attributes of files and do no harm where SELinux is off.
LABEL = """
    chroot "$1" setfiles -m -F /etc/selinux/default/contexts/files/file_contexts /
"""
# Arguments: the root with the policy, and the top of the trees.
LABEL_TREES = """
    mount -t proc proc "$1/proc"
    mount --bind "$2" "$1/mnt"
    chroot "$1" setfiles -m -F -r /mnt /etc/selinux/default/contexts/files/file_contexts /mnt
"""
# Where the machine has the test trees (KENNEL_TEST_CACHE), the source and the build directory.
TREES, SOURCE, BUILD = "var/cache/kennel-test", "usr/src/kennel", "usr/src/kennel-build"
# Arguments: ROOT TREES SOURCE BUILD IMAGE. Installs as an administrator would, in an overlay that ends with the script.
# xino: setfiles takes two files with one inode number for one file, and leaves the second without its label.
MAKE_DISK = f"""
    mount -t tmpfs none /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay -o "xino=on,lowerdir=$2:$1,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
    cd /mnt/root
    mkdir {SOURCE} {BUILD}
    mount --bind "$3" {SOURCE}
    mount --bind "$4" {BUILD}
    mount -t proc proc proc
    chroot . sh -euc '
        reconfigure=
        [ ! -d /{BUILD}/meson-private ] || reconfigure=--reconfigure
        meson setup $reconfigure --prefix=/usr -Dwerror="$WERROR" -Dapparmor=enabled -Dselinux=enabled /{BUILD} /{SOURCE}
        meson compile -C /{BUILD}
        meson install -C /{BUILD} --no-rebuild --quiet
        systemd-sysusers kennel.conf
        journalctl --update-catalog
        cp /{SOURCE}/tests/vm/kennel-vm.service /etc/systemd/system/
        systemctl enable kennel.socket kennel.service kennel-vm.service
        printf "%s" "$SETTINGS" >/etc/kennel-vm
    '
    # offline, as a package would: -n, because there is no policy to load it into
    [ -z "$LABELLED" ] || chroot . semodule -n -i /usr/share/selinux/packages/kennel.cil -i /{SOURCE}/tests/vm/kennel-test.cil
    [ -z "$LABELLED" ] || chroot . setfiles -m -F /etc/selinux/default/contexts/files/file_contexts /
    # private daemons of tests run from the build directory, in the domain of one that is installed, and load a library
    [ -z "$LABELLED" ] || chroot . {PYTHON} -c '
import os
os.setxattr("/{BUILD}/daemon/kenneld", "security.selinux", os.getxattr("/usr/sbin/kenneld", "security.selinux"))
os.setxattr("/{BUILD}/tests/libkennel-tamper.so", "security.selinux", b"system_u:object_r:lib_t:s0\\0")'
    umount proc
    rm -f "$5"
    truncate -s 8G "$5"
    mkfs.ext4 -q -F -E lazy_itable_init=1 ${{FEATURES:+-O "$FEATURES"}} -d . "$5"
"""


class BuildFailed(Exception):
    """A command failed; its output's end is the text."""


# Whatever was started and has not ended: an interrupted run ends it.
children = set()


@contextlib.contextmanager
def child(command, **keywords):
    """A process that does not outlive the block."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **keywords)  # pylint: disable=consider-using-with
    children.add(process)
    try:
        yield process
    finally:
        children.discard(process)
        if process.poll() is None:
            process.terminate()
        process.wait()


def run(command, log, **keywords):
    """A command in a mount namespace of its own, its output in LOG."""
    command = ["unshare", "--mount", "--propagation", "private", "--", *map(str, command)]
    with open(log, "ab") as output:
        with child(command, stdout=output, stderr=subprocess.STDOUT, **keywords) as process:
            process.wait()
    if process.returncode:
        raise BuildFailed(f"{command[5]}: exit code {process.returncode}\n{tail(log, 60)}")


def tail(path, lines):
    """The last LINES of a file that may hold anything, or nothing."""
    with contextlib.suppress(OSError):
        return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-lines:])
    return ""


def remove(path):
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)


@contextlib.contextmanager
def locked(name):
    """One at a time, whichever process of this machine it is."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(path, key, make):
    """PATH as MAKE(path) made it, at this time or at an earlier one with the same KEY."""
    mark = path.with_name(path.name + ".key")
    key = hashlib.sha256(repr(key).encode()).hexdigest()
    if path.exists() and mark.exists() and mark.read_text() == key:
        return path
    mark.unlink(missing_ok=True)
    remove(path)
    make(path)
    mark.write_text(key)
    return path


# --- what is kept -----------------------------------------------------------------------------------------------------


def release_root(release):
    """The root directory of a release, with all packages, labelled for SELinux."""
    packages = PACKAGES + RELEASES[release]
    command = ["mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join(packages)}"]
    command += ["--aptopt=APT::Install-Recommends false", *(f"--dpkgopt=path-exclude={p}" for p in WITHOUT)]
    command += [f"--essential-hook={INITRAMFS}", f"--customize-hook={CLEAN}", f"--customize-hook={PROFILES}"]
    command += [f"--customize-hook={LABEL}", release]

    def make(path):
        log = CACHE / f"root-{release}.log"
        log.unlink(missing_ok=True)
        run([*command, path], log, env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"})

    with locked(f"root-{release}"):
        return kept(CACHE / f"root-{release}", command, make)


def test_trees(labelling_root):
    """The root file systems that tests run containers on, as they will be found in the machine."""
    images = REPOSITORY / "tests" / "integration" / "images.py"

    def make(path):
        tree = path / TREES
        tree.mkdir(parents=True)
        log = CACHE / "trees.log"
        log.unlink(missing_ok=True)
        made = pathlib.Path(os.environ.get("KENNEL_TEST_CACHE") or "/nonexistent", "debian")
        if made.with_suffix(".done").exists():
            for part in (made, made.with_suffix(".debs"), made.with_suffix(".done")):
                run(["cp", "-a", part, tree], log)
        else:
            run([PYTHON, images, tree / "debian"], log, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        run(["bash", "-euc", LABEL_TREES, "bash", labelling_root, path], log)

    with locked("trees"):
        return kept(CACHE / "trees", images.read_text(), make)


# --- what is made for each run ----------------------------------------------------------------------------------------


def copy_source(path):
    """The repository without what was built in it; times of files stay, which ninja goes by."""

    def ignore(directory, names):
        top = pathlib.Path(directory) == REPOSITORY
        return [n for n in names if n in (".git", "__pycache__", ".pytest_cache") or (top and n.startswith("build"))]

    remove(path)
    shutil.copytree(REPOSITORY, path, symlinks=True, ignore=ignore)


def make_disk(target, path, log, settings):
    """The disk of a machine, in the file PATH; SETTINGS are variables for tests/vm/guest."""
    root = release_root(target.release)
    trees = test_trees(root if target.release == "bookworm" else release_root("bookworm"))
    build = CACHE / f"build-{target.release}"
    with locked(f"build-{target.release}"):
        kept(build, (root.with_name(root.name + ".key")).read_text(), lambda p: p.mkdir())
        source = CACHE / f"source-{target.release}"
        copy_source(source)
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        environment = {
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "SETTINGS": lines,
            "WERROR": "true" if os.environ.get("CI") else "false",
            "LABELLED": "1" if target.lsm == "selinux" else "",
            "FEATURES": "project,quota" if target.quota else "",
        }
        run(["bash", "-euc", MAKE_DISK, "bash", root, trees, source, build, path], log, env=environment)


def kernel_of(target):
    """The release's kernel and its initial file system."""
    boot = release_root(target.release) / "boot"
    return next(boot.glob("vmlinuz-*")), next(boot.glob("initrd.img-*"))
