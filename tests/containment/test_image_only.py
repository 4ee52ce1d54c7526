# SPDX-License-Identifier: LGPL-2.1-or-later
"""--exec-policy image-only: what can be written cannot be executed, from any of nine places; and without it, from all."""

import os
import pathlib
import shutil
import struct
import subprocess

import pytest

STATIC = "/bin/busybox"

# wx.c for the image `host`, which has the host's python3 and no file of the tests'.
WX = """
import ctypes, mmap, os, sys
verb, path = sys.argv[1:]
fd = os.open(path, os.O_RDONLY)
arguments = ["busybox", "echo", "ran"]
def by_path(n):
    os.set_inheritable(n, True)
    os.execve(f"/proc/self/fd/{n}", arguments, {})
def in_memfd(*flags):
    for f in flags:
        n = ctypes.CDLL(None, use_errno=True).memfd_create(b"busybox", f)
        if n >= 0 or ctypes.get_errno() != 22:
            break
    if n < 0:
        raise OSError(ctypes.get_errno(), "memfd_create")
    os.sendfile(n, fd, 0, os.fstat(fd).st_size)
    return n
def by_memfd(flags):
    n = in_memfd(flags)
    os.fchmod(n, 0o755)
    by_path(n)
def by_loader(loader):
    n = in_memfd(8, 0)
    os.set_inheritable(n, True)
    os.execv(loader, [loader, f"/proc/self/fd/{n}", "ran"])
def mapped(prot, fd=fd):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    at = libc.mmap(None, 4096, prot, mmap.MAP_PRIVATE, fd, 0)
    if at == ctypes.c_void_p(-1).value or libc.mprotect(ctypes.c_void_p(at), 4096, 5):
        raise OSError(ctypes.get_errno(), "mmap")
    print("ran")
if verb == "memfd":
    by_memfd(0)
elif verb == "memfd-exec":
    by_memfd(0x10)
elif verb == "procfd":
    by_path(fd)
elif verb == "deleted":
    os.unlink(path)
    os.execve(fd, arguments, {})
elif verb == "mmap":
    mapped(mmap.PROT_READ | mmap.PROT_EXEC)
elif verb == "mprotect":
    mapped(mmap.PROT_READ)
elif verb == "memfd-mmap":
    mapped(mmap.PROT_READ | mmap.PROT_EXEC, in_memfd(8, 0))
elif verb == "memfd-mprotect":
    mapped(mmap.PROT_READ, in_memfd(8, 0))
else:
    by_loader(verb)
"""

# Where a copy is written, and how it is run. The copy's own answer is "ran", and nothing else says that.
PLACES = {
    "root": "cp $B /busybox-x && /busybox-x echo ran",
    "tmp": "cp $B /tmp/busybox-x && /tmp/busybox-x echo ran",
    "shm": "cp $B /dev/shm/busybox-x && /dev/shm/busybox-x echo ran",
    "run": "cp $B /run/busybox-x && /run/busybox-x echo ran",
    "volume": "cp $B /mnt/busybox-x && /mnt/busybox-x echo ran",
    "tmpfs": "cp $B /scratch/busybox-x && /scratch/busybox-x echo ran",
    "memfd": "$WX memfd $B",
    "deleted": "cp $B /tmp/busybox-d && $WX deleted /tmp/busybox-d",
    "procfd": "cp $B /tmp/busybox-p && $WX procfd /tmp/busybox-p",
}
OTHERS = {
    "memfd-exec": "$WX memfd-exec $B",
    "memfd-mmap": "$WX memfd-mmap $B",
    "memfd-mprotect": "$WX memfd-mprotect $B",
    "mmap": "cp $B /tmp/busybox-m && $WX mmap /tmp/busybox-m",
    "mprotect": "cp $B /tmp/busybox-n && $WX mprotect /tmp/busybox-n",
    "script": "printf '#!/bin/sh\\necho ran\\n' >/tmp/s && chmod 755 /tmp/s && /tmp/s",
    "home": "cp $B /root/busybox-x && /root/busybox-x echo ran",
    "var": "mkdir -p /var/v && cp $B /var/v/busybox-x && /var/v/busybox-x echo ran",
    "link": "cp $B /tmp/busybox-l && ln /tmp/busybox-l /tmp/busybox-l2 && /tmp/busybox-l2 echo ran",
    "renamed": "cp $B /tmp/busybox-r && mv /tmp/busybox-r /var/busybox-r && /var/busybox-r echo ran",
}
LINKER = "$(ls /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.* 2>/dev/null | head -n 1)"
LOADER = f"cp /bin/true /tmp/t && {LINKER} /tmp/t && echo ran"
MEMFD_LOADER = f"$WX {LINKER} /bin/echo"


# From 6.3 on the kernel knows memfds that are not executed, which are mapped all the same; no kernel makes any here.
FORBIDS_MEMFDS = os.path.exists("/proc/sys/vm/memfd_noexec")


PT_INTERP = 3


def is_static(path):
    """An ELF of 64 bits without a program header that names a dynamic linker."""
    data = pathlib.Path(path).read_bytes()
    offset, (size, number) = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<HH", data, 54)
    return all(struct.unpack_from("<I", data, offset + i * size)[0] != PT_INTERP for i in range(number))


def needs_static():
    if not os.path.exists(STATIC) or not is_static(STATIC):
        pytest.skip(f"{STATIC} is not the static one of busybox-static")


@pytest.fixture
def writable(scratch):
    volume = pathlib.Path(scratch) / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    return volume


@pytest.fixture(scope="session")
def wx_root(busybox_root, cache_directory):
    """busybox's root with wx in it, and without /run: Kennel makes it."""
    root = cache_directory / "wx"
    subprocess.run(["cp", "-a", busybox_root, root], check=True)
    source = pathlib.Path(__file__).resolve().parent / "wx.c"
    subprocess.run(["cc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", root / "bin" / "wx", source], check=True)
    return root


@pytest.fixture(params=["host", "rootfs"])
def attempt(request, kennel, writable, wx_root):
    """attempt(SCRIPT, *FLAGS): a shell in a new container with a volume and a tmpfs. B is a program, WX the helper."""
    flags = ["-v", f"{writable}:/mnt", "--tmpfs", "/scratch"]
    (writable / "wx.py").write_text(WX)
    if request.param == "rootfs":
        flags += ["--rootfs", wx_root]
        names = "B=/bin/busybox; WX=/bin/wx; [ -d /run ] || mkdir /run; "
    else:
        names = 'B=/usr/bin/busybox; WX="/usr/bin/python3 /mnt/wx.py"; '

    def run(script, *more):
        return kennel.run("--rm", *flags, *more, "--", "sh", "-c", names + script)

    run.image = request.param
    return run


def test_without_the_policy_each_runs(attempt):
    needs_static()
    for name, script in {**PLACES, **OTHERS}.items():
        if name == "memfd-exec" and not FORBIDS_MEMFDS:  # a flag that came with it
            continue
        result = attempt(script)
        assert result.stdout.strip() == "ran", (name, result)


def test_none_runs(attempt):
    needs_static()
    for name, script in {**PLACES, **OTHERS}.items():
        result = attempt(script, "--exec-policy", "image-only")
        assert "ran" not in result.stdout and result.code != 0, (name, result)
        said = result.stdout + result.stderr
        expected = ("Permission denied", "PermissionError", "Operation not permitted", "Function not implemented")
        if attempt.image == "rootfs" and name == "root":
            expected = ("Read-only file system",)
        if name.startswith("memfd"):  # what programs take for an old kernel, and go on without
            expected = ("memfd_create: Function not implemented", "[Errno 38] memfd_create")
        if name == "renamed" and "File exists" in said:
            continue
        assert any(text in said for text in expected), (name, result)


def test_without_a_filter_no_memfd_is_executed(attempt):
    """The kernel's own rule, which is hidden by the filter otherwise."""
    for verb in ("memfd", "memfd-exec"):
        result = attempt(f"$WX {verb} $B", "--exec-policy", "image-only", "--security-opt", "seccomp=unconfined")
        assert "ran" not in result.stdout and result.code != 0, result
        said = ("Permission denied", "[Errno 13] memfd_create", "Operation not permitted") if FORBIDS_MEMFDS else ("before 6.3",)
        assert any(text in result.stdout + result.stderr for text in said), result


def test_the_loader_maps_nothing_either(attempt):
    if attempt.image == "rootfs":
        pytest.skip("busybox's root has no loader")
    assert attempt(LOADER).stdout.strip() == "ran"
    result = attempt(LOADER, "--exec-policy", "image-only")
    assert "ran" not in result.stdout and "cannot" in result.stderr + "" or "failed to map" in result.stderr, result
    assert attempt(MEMFD_LOADER).stdout.strip() == "ran"
    result = attempt(MEMFD_LOADER, "--exec-policy", "image-only")
    assert "ran" not in result.stdout and "[Errno 38] memfd_create" in result.stderr, result


def test_the_images_own_programs_run(attempt):
    script = "$B echo ran && echo x >/tmp/x && echo x >/root/x && echo x >/run/x && echo x >/var/tmp/x 2>/dev/null; ls / >/dev/null"
    for more in ((), ("--init",), ("-u", "1000"), ("--read-only",)):
        result = attempt("$B echo ran", "--exec-policy", "image-only", *more)
        assert result.ok().strip() == "ran"
    assert attempt(script, "--exec-policy", "image-only").ok().strip() == "ran"


def test_data_is_written_where_data_is(attempt):
    script = "for d in /tmp /run /root /home /var /etc /mnt /scratch /dev/shm; do echo x >$d/file || echo not $d; done; echo end"
    assert attempt(script, "--exec-policy", "image-only").ok().split() == ["end"]


def test_read_only_has_nothing_to_write(attempt):
    result = attempt("cp $B /tmp/x || cp $B /root/x || cp $B /x", "--exec-policy", "image-only", "--read-only")
    assert result.code != 0 and result.stderr.count("Read-only file system") >= 3, result


def test_no_namespace_below(attempt):
    """By a profile that allows it: the kernel's own limit holds. Without the policy there would be one."""
    script = "unshare -U true && echo ran"
    profile = pathlib.Path("/usr/share/containers/seccomp.json")
    open_ = ("--security-opt", "seccomp=unconfined")
    plain = attempt(script, *open_)
    result = attempt(script, *open_, "--exec-policy", "image-only")
    assert "ran" not in result.stdout, result
    if "ran" not in plain.stdout:  # AppArmor from Linux 6.7 on decides on user namespaces, and the profile has no rule for it
        pytest.skip(f"the host refuses user namespaces to containers anyway: {plain.stderr.strip()}")
    if not FORBIDS_MEMFDS:
        assert result.code == 125 and "before 6.3" in result.stderr, result
        return
    said = ("No space left on device", "Operation not permitted", "Permission denied")  # whoever is asked first
    assert any(text in result.stderr for text in said), (result, profile)


def test_exec_joins_the_policy(kennel, wx_root, writable):
    container = kennel.start_container("--rootfs", wx_root, "--exec-policy", "image-only", "-v", f"{writable}:/mnt")
    assert kennel.inspect(container)["execPolicy"] == "imageOnly"
    for verb in ("memfd", "memfd-exec", "memfd-mmap"):
        result = kennel.kennel("exec", container, "/bin/wx", verb, "/bin/busybox")
        assert "ran" not in result.stdout and result.code != 0, result
    verified = kennel.kennel("verify", container)
    assert verified.code == 0, verified
    rows = kennel.call("Verify", container=container)
    text = str(rows)
    for control in ("dataMount.tmp", "dataMount.run", "dataMount.etc"):
        assert control in text, rows


@pytest.fixture
def overlays_with_index():
    """What some hosts have as their default: links to one file of the image stay links to one file when it is written to."""
    parameter = pathlib.Path("/sys/module/overlay/parameters/index")
    if not os.access(parameter, os.W_OK):
        pytest.skip("the kernel's overlay has no such parameter")
    before = parameter.read_text()
    parameter.write_text("Y")
    yield
    parameter.write_text(before)


@pytest.mark.usefixtures("overlays_with_index")
def test_links_of_the_images_are_files_of_their_own(kennel, busybox_root, cache_directory):
    """One file of the image's under two names, where data is and where programs are: what is written is data."""
    root = cache_directory / "linked"
    shutil.rmtree(root, ignore_errors=True)  # of an earlier run
    subprocess.run(["cp", "-a", busybox_root, root], check=True)
    (root / "bin" / "linked").write_text("#!/bin/sh\necho the image\n")
    (root / "bin" / "linked").chmod(0o755)
    (root / "var").mkdir(exist_ok=True)
    os.link(root / "bin" / "linked", root / "var" / "linked")
    script = "linked && printf '#!/bin/sh\\necho ran\\n' >/var/linked && cat /var/linked && linked"
    result = kennel.run("--rootfs", root, "--exec-policy", "image-only", "--", "sh", "-c", script).ok()
    assert result.splitlines() == ["the image", "#!/bin/sh", "echo ran", "the image"]


def test_what_cannot_be_kept_is_refused(kennel):
    result = kennel.run("--exec-policy", "image-only", "--cap-add", "SYS_ADMIN", "--", "true")
    assert result.code != 0 and "CAP_SYS_ADMIN" in result.stderr, result
    result = kennel.run("--exec-policy", "sometimes", "--", "true")
    assert result.code != 0 and "report or image-only" in result.stderr, result
    container = kennel.start_container()
    assert kennel.inspect(container)["execPolicy"] == "report"
