"""The kernel and the disk that the machines start from: built once, from Debian packages.

They are kept in the user's cache directory, under a digest of all that determines them.
"""

import fcntl
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tools import missing, require_root, require_tool

# The Debian release inside the machines, and the version of its Python.
_SUITE, _PYTHON = "bookworm", "3.11"
_KERNEL_PACKAGES = ("user-mode-linux", "uml-utilities")
_PACKAGES = (
    "acl",
    "busybox-static",
    "ca-certificates",
    "cifs-utils",
    "e2fsprogs",
    "git",
    "iproute2",
    "kmod",
    "nfs-common",
    "nfs-kernel-server",
    "openssh-server",
    "procps",
    "python3",
    "rpcbind",
    "samba",
    "sshfs",
    "strace",
)
_NOT_NEEDED = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
_TOOLS = ("apt-get", "dpkg-deb", "mmdebstrap", "mke2fs", "chroot", "cc")
# manylinux platforms, oldest last: pip takes a wheel of whichever comes first.
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
# A venv as a user makes it; tierctl itself comes with each boot (guest/init).
_SETUP = f"""
python3 -m venv --without-pip /opt/tierctl
site=/opt/tierctl/lib/python{_PYTHON}/site-packages
mv /tmp/site/* $site
[ ! -d $site/bin ] || mv $site/bin/* /opt/tierctl/bin
python3 -m compileall -q /usr/lib/python3* $site || true
ln -s /run/tierctl $site/tierctl
groupadd -g 2000 lab
for user in ada:2001 bob:2002 eve:2003; do
    useradd -m -u ${{user#*:}} -s /bin/bash ${{user%:*}}
done
usermod -aG lab ada
usermod -aG lab bob
rm -rf /boot/* /tmp/* /var/cache/apt/* /var/lib/apt/lists/*
"""
_COMMAND = """#!/opt/tierctl/bin/python
import sys
from tierctl.__main__ import run
sys.exit(run())
"""
_BOOT = Path(__file__).with_name("guest") / "boot"
_PRELOADED = Path(__file__).with_name("xstate.c")


class Image:
    """What is needed to start a machine."""

    def __init__(self, directory: Path) -> None:
        self.kernel = directory / "linux.uml"
        self.preloaded = directory / "xstate.so"
        self.switch = directory / "uml_switch"
        self.disk = directory / "root.img"


def image() -> Image:
    """Return the image, built now unless it is there; skip or fail the test where that cannot be.

    Of two processes that need it at once, one builds it and the other waits.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        missing("the NFS lab runs on Linux x86-64 only")
    require_root()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tierctl-nfs-lab")
    directory = cache / _digest()
    if directory.is_dir():
        return Image(directory)
    tools = {name: require_tool(name) for name in _TOOLS}
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        if not directory.is_dir():
            for left in cache.glob("building-*"):  # by a build that was killed
                shutil.rmtree(left, ignore_errors=True)
            with TemporaryDirectory(dir=cache, prefix="building-") as scratch:
                try:
                    _build(Path(scratch), tools)
                except OSError as error:
                    missing(f"the NFS lab cannot be built: {error}")
                (Path(scratch) / "image").rename(directory)
    return Image(directory)


def _digest() -> str:
    """Return a digest of everything that determines the image, but for the packages' versions."""
    files = (Path(__file__), _BOOT, _PRELOADED)
    parts = (*(path.read_bytes() for path in files), "\n".join(_requirements()).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _requirements() -> list[str]:
    """Return what tierctl depends on, optional parts included."""
    declared = importlib.metadata.requires("tierctl") or []
    return [requirement.partition(";")[0].strip() for requirement in declared]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(scratch: Path, tools: dict[str, str]) -> None:
    made, root, debs = (scratch / name for name in ("image", "root", "debs"))
    for directory in (made, debs):
        directory.mkdir()
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in _NOT_NEEDED]
    included = f"--include={','.join(_PACKAGES)}"
    _run(tools["mmdebstrap"], "--variant=minbase", included, *excluded, _SUITE, root)
    _run(tools["apt-get"], "download", *_KERNEL_PACKAGES, cwd=debs)
    for deb in sorted(debs.glob("*.deb")):
        _run(tools["dpkg-deb"], "-x", deb, debs)
    for name in ("linux.uml", "uml_switch"):
        shutil.move(debs / "usr" / "bin" / name, made / name)
    _run(tools["cc"], "-O1", "-shared", "-fPIC", "-o", made / "xstate.so", _PRELOADED, "-ldl")
    shutil.copytree(debs / "usr/lib/uml/modules", root / "lib/modules", dirs_exist_ok=True)
    _install_wheels(root / "tmp" / "site")
    _run(tools["chroot"], root, "bash", "-ec", _SETUP)
    programs = {"boot/init": _BOOT.read_text(), "usr/local/bin/tierctl": _COMMAND}
    for name, text in programs.items():
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    # Holes for what is written later: a machine writes into a copy of its own.
    megabytes = sum(path.lstat().st_size for path in root.rglob("*")) >> 20
    _run(tools["mke2fs"], "-q", "-t", "ext4", "-d", root, made / "root.img", f"{megabytes + 1000}M")


def _install_wheels(site: Path) -> None:
    """Install what tierctl depends on for the Python inside, whichever runs this."""
    platforms = [f"--platform={name}" for name in _PLATFORMS]
    target = (f"--target={site}", "--only-binary=:all:", f"--python-version={_PYTHON}", *platforms)
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
    _run(*pip, "install", "--no-compile", *target, *_requirements())


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
