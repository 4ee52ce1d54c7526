# SPDX-License-Identifier: LGPL-2.1-or-later
"""What integration and containment tests share. Run by /usr/bin/python3: Debian's pytest belongs to it."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "integration"))

import images  # noqa: E402
import rogues  # noqa: E402
from kenneld import SANITIZED, Kenneld, controllers, label, wait_for  # noqa: E402
from measure import Disk  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--keep", action="store_true", help="keep the daemons' directories and logs")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds; left out by tests/run --fast")
    config.addinivalue_line("markers", "needs(controller): wants a cgroup controller, which an imitated pure v2 host may lack")
    config.addinivalue_line("markers", "unsanitized: measures or limits the daemon in a way that ASan cannot bear")


def pytest_collection_modifyitems(items):
    there = controllers()
    for item in items:
        for mark in item.iter_markers("needs"):
            for controller in mark.args:
                if controller not in there:
                    reason = f"no cgroup controller `{controller}` here: see /sys/fs/cgroup/cgroup.controllers"
                    item.add_marker(pytest.mark.skip(reason=reason))
        if item.get_closest_marker("unsanitized") and SANITIZED:
            item.add_marker(pytest.mark.skip(reason="KENNEL_SANITIZED=1: ASan's own memory would be measured"))


@pytest.fixture(scope="module")
def module_daemon(request):
    """One daemon for all tests of a file."""
    d = Kenneld().start()
    yield d
    d.stop(keep=request.config.getoption("--keep"))


@pytest.fixture
def kennel(module_daemon, scratch):
    """The file's daemon, with no container in it before and after the test; its containers end before `scratch` does."""
    assert module_daemon.process.poll() is None, f"an earlier test ended the daemon:\n{module_daemon.log()[-6000:]}"
    yield module_daemon
    assert module_daemon.process.poll() is None, f"the daemon has ended:\n{module_daemon.log()[-6000:]}"
    module_daemon.remove_all()
    assert module_daemon.containers() == []
    # what removes itself is not listed any more while its cgroup and directories are being removed
    wait_for(lambda: not any(module_daemon.remains(c) for c in module_daemon.ids), "what is left of the containers to go")
    module_daemon.ids.clear()
    module_daemon.check_log()


@pytest.fixture
def make_daemon(request, scratch):
    """Daemons of a test's own: make_daemon(config=...) starts one."""
    made = []

    def make(start=True, **keywords):
        d = Kenneld(**keywords)
        made.append(d)
        return d.start() if start else d

    yield make
    for d in reversed(made):
        d.stop(keep=request.config.getoption("--keep"))


@pytest.fixture
def daemon(make_daemon):
    return make_daemon()


@pytest.fixture(scope="session")
def cache_directory():
    """For trees that take long to make; KENNEL_TEST_CACHE keeps them between runs."""
    kept = os.environ.get("KENNEL_TEST_CACHE")
    if kept:
        path = pathlib.Path(kept)
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
        label(path)
        yield path
        return
    path = pathlib.Path(tempfile.mkdtemp(prefix="kennel-test-cache-"))
    path.chmod(0o755)
    label(path)
    yield path
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)


@pytest.fixture(scope="session")
def busybox_root(cache_directory):
    return images.busybox(cache_directory / "busybox")


@pytest.fixture(scope="session")
def debian_root(cache_directory):
    root = images.debian(cache_directory / "debian")
    debs = root.with_suffix(".debs")  # a volume
    for path in (debs, *debs.iterdir()):
        label(path)
    return root


@pytest.fixture(scope="session")
def probe(cache_directory):
    """A directory with tests/integration/probe.c compiled: system calls that no shell can make."""
    directory = cache_directory / "probe"
    directory.mkdir(exist_ok=True)
    source = pathlib.Path(__file__).resolve().parent / "integration" / "probe.c"
    flags = ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    subprocess.run(["cc", *flags, "-o", directory / "probe", source], check=True)
    return directory


@pytest.fixture(scope="session")
def load(cache_directory):
    """Flags of `kennel run` that bring tests/integration/load.c into a container, compiled, as /mnt/load."""
    directory = cache_directory / "load"
    directory.mkdir(exist_ok=True)
    source = pathlib.Path(__file__).resolve().parent / "integration" / "load.c"
    flags = ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    # by another name first: a test may be running the old one
    subprocess.run(["cc", *flags, "-o", directory / "load.new", source], check=True)
    (directory / "load.new").rename(directory / "load")
    return ("-v", f"{directory}:/mnt:ro")


@pytest.fixture(scope="session")
def rogue(cache_directory):
    """tests/containment/rogue.c, compiled."""
    path = cache_directory / "rogue"
    rogues.compile_rogue(path)
    return path


@pytest.fixture(scope="session")
def rogue_root(cache_directory, busybox_root, rogue):
    """The busybox root with /bin/rogue in it."""
    return rogues.root_with(busybox_root, cache_directory / "rogue-root", rogue)


@pytest.fixture(scope="module")
def disk():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="kennel-test-disk-"))
    directory.chmod(0o755)
    d = Disk(directory / "mounted", 256)
    yield d
    d.close()
    d.directory.rmdir()
    directory.rmdir()


@pytest.fixture
def scratch():
    """A directory that every user may enter, unlike tmp_path."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="kennel-test-scratch-"))
    path.chmod(0o755)
    label(path)
    yield path
    shutil.rmtree(path)
