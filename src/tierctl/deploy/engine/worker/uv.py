"""What pip sections ask for: wheels, solved and installed by uv.

Only wheels: to build one would run what others wrote, with whatever compiler is
at hand, and what comes out has no sha256 that anybody has published.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from os import path as paths
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from uv import find_uv_bin

from tierctl.deploy.engine.worker.archives import local_path
from tierctl.deploy.engine.worker.wheels import Wheel, WheelsFailed
from tierctl.fs import tree
from tierctl.rotation.names import WHEELS

_STAND_INS = "stand-ins"
_LOCK = "pylock.toml"
_LONG_S = str(24 * 60 * 60)
# Versions of conda packages that mean the same to pip (PEP 440).
_COMMON_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?")


def solve(
    lines: Sequence[str],
    python: str,
    provided: Mapping[str, str],
    cache: str,
    *,
    offline: bool,
) -> list[Wheel]:
    """Return the wheels that a pip section needs in an environment with that Python version.

    ``lines`` are those of a requirements file. ``provided``: the Python packages
    that the environment has from conda, and their versions; they count as
    installed. Raises ``WheelsFailed``.
    """
    pinned = {n: v for n, v in provided.items() if _COMMON_VERSION.fullmatch(v)}
    with tree.scratch() as place:
        wanted = _write_lines(place, "requirements.in", [_stand_ins(pinned, cache), *lines])
        constraints = [f"{name}=={version}" for name, version in pinned.items()]
        found = _uv(
            "compile",
            f"--constraints={_write_lines(place, 'constraints.txt', constraints)}",
            *(f"--no-emit-package={name}" for name in pinned),
            f"--python-version={python}",
            "--only-binary=:all:",
            "--no-header",
            f"--format={_LOCK}",
            wanted,
            cache=cache,
            offline=offline,
        )
    return [_wheel(package) for package in tomllib.loads(found).get("packages", [])]


def unpack(wheels: Iterable[Wheel], python: str, prefix: str, cache: str, *, offline: bool) -> None:
    """Install wheels for a Python into an empty directory, as if that were its prefix.

    Each has to have its sha256. Raises ``WheelsFailed``.
    """
    with tree.scratch() as place:
        head = ['lock-version = "1.0"', 'created-by = "tierctl"']
        lock = _write_lines(place, _LOCK, [*head, *map(_locked, wheels)])
        _uv(
            "install",
            f"--python={python}",
            f"--prefix={prefix}",
            "--require-hashes",
            "--no-deps",
            "--only-binary=:all:",
            f"--requirements={lock}",
            cache=cache,
            offline=offline,
        )


def forget(names: Iterable[str], cache: str) -> None:
    """Remove all that the cache holds of the wheels with these names; raises ``WheelsFailed``."""
    _run("cache", "clean", *names, cache=cache)


def _uv(verb: str, *words: str, cache: str, offline: bool) -> str:
    """Run ``uv pip`` and return what it prints."""
    return _run(
        "pip",
        verb,
        "--keyring-provider=disabled",
        *(["--offline"] if offline else []),
        *words,
        cache=cache,
    )


def _run(*words: str, cache: str) -> str:
    """Run uv with nothing of its user's settings, and return what it prints."""
    command = [
        find_uv_bin(),
        *words,
        "--quiet",
        "--color=never",
        "--no-config",
        "--no-python-downloads",
        f"--cache-dir={paths.join(cache, WHEELS)}",
    ]
    with tree.scratch() as home:
        done = subprocess.run(  # noqa: S603 (uv's own binary; no word of others begins with a dash)
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            # How long a server may be silent is watched from outside (deploy/stall.py).
            env={**os.environ, "HOME": home, "UV_HTTP_TIMEOUT": _LONG_S},
        )
    if done.returncode:
        raise WheelsFailed(done.stderr.strip())
    return done.stdout


def _write_lines(directory: str, name: str, lines: Iterable[str]) -> str:
    path = paths.join(directory, name)
    tree.write_new(path, "".join(f"{line}\n" for line in lines).encode())
    return path


def _stand_ins(pinned: Mapping[str, str], cache: str) -> str:
    """Return the line that offers an empty wheel for what conda has, from a directory of them.

    So it does not matter whether an index has that, too. They stay in the cache:
    uv remembers each by its path. A URL, since uv takes a comma or ``#`` in a path for its end.
    """
    directory = paths.join(cache, WHEELS, _STAND_INS)
    tree.make_shared(directory)
    for name, version in pinned.items():
        _write_stand_in(directory, name, version)
    return f"--find-links {Path(directory).as_uri()}"


def _write_stand_in(directory: str, name: str, version: str) -> None:
    stem = f"{re.sub('[-_.]+', '_', name)}-{version}"
    members = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    path = paths.join(directory, f"{stem}-py3-none-any.whl")
    if paths.exists(path):
        return
    data = io.BytesIO()
    with ZipFile(data, "w") as wheel:
        for member, text in members.items():
            wheel.writestr(f"{stem}.dist-info/{member}", text)
    tree.write_whole(path, data.getvalue())


def _wheel(package: dict[str, Any]) -> Wheel:
    """Return the wheel of a package in uv's answer: there is one, for this platform."""
    found = package["archive"] if "archive" in package else package["wheels"][0]
    url = found.get("url") or Path(found["path"]).as_uri()
    size = found.get("size") or _size(url)
    return Wheel(package["name"], package["version"], url, found["hashes"]["sha256"], size)


def _size(url: str) -> int:
    path = local_path(url)
    return os.stat(path).st_size if path else 0


def _locked(wheel: Wheel) -> str:
    """Return a package as a lock file of PEP 751 has it."""
    name, version, url, sha256 = (
        json.dumps(text, ensure_ascii=False)
        for text in (wheel.name, wheel.version, wheel.url, wheel.sha256)
    )
    return (
        f"[[packages]]\nname = {name}\nversion = {version}\n"
        f"wheels = [{{ url = {url}, hashes = {{ sha256 = {sha256} }} }}]"
    )
