"""Targets made by hand, on any filesystem."""

import json
from pathlib import Path

from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem
from tierctl.target import record
from tierctl.target.paths import Layout

# What the links of a new target say.
BOOTSTRAPPED = {
    "blue": "deployments/1",
    "green": "deployments/1",
    "production": "green",
    "staging": "blue",
}


def make_target(
    directory: Path | str,
    *,
    production: str | None = "green",
    staging: str | None = "blue",
    blue: int | None = None,
    green: int | None = None,
    deployments: tuple[int, ...] = (),
    empty: tuple[int, ...] = (),
    fs: FileSystem | None = None,
) -> Layout:
    """Make a target as older scripts did: four names and nothing else.

    A color with a number is a symlink to that deployment, without one a plain
    directory; ``deployments`` are finished ones that no color shows. Of those that are
    ``empty`` that is known.
    """
    fs = fs or OsFileSystem()
    layout = Layout.of_target(str(directory))
    if isinstance(fs, OsFileSystem):
        Path(directory).mkdir(parents=True, exist_ok=True)
    fs.make_directory(layout.infrastructure, 0o755)
    colors = {"blue": blue, "green": green}
    for number in (*deployments, *filter(None, colors.values())):
        make_deployment(layout, number, empty=number in empty, fs=fs)
    for color, number in colors.items():
        if number is None:
            fs.make_directory(layout.within(color), 0o755)
        else:
            fs.make_link(layout.within(color), f"deployments/{number}")
    for tier, color in (("production", production), ("staging", staging)):
        if color is not None:
            fs.make_link(layout.within(tier), color)
    return layout


def with_profiles(layout: Layout) -> Layout:
    """Give both colors what one sources to load them."""
    for color in ("blue", "green"):
        profile = Path(layout.within(color), "etc", "profile.sh")
        profile.parent.mkdir()
        profile.touch()
    return layout


def make_deployment(
    layout: Layout,
    number: int,
    *,
    finished: bool = True,
    empty: bool = False,
    fs: FileSystem | None = None,
) -> None:
    """Make a deployment with nothing in it but the record that says that it is finished.

    If it is ``empty``, the record says that too, as it does of the empty tier.
    """
    fs = fs or OsFileSystem()
    directory = f"deployments/{number}"
    for path in (layout.deployments, layout.within(directory), layout.within(f"{directory}/meta")):
        try:
            fs.make_directory(path, 0o755)
        except FileExistsError:
            continue
    if finished:
        facts = {"environments": {}, "files": record.NO_FILES} if empty else {}
        text = json.dumps(facts).encode() + b"\n"
        fs.write(layout.deployment_record(directory), text, mode=0o644)


def bootstrapped_mode(path: Path, *, shared: bool) -> int:
    """Return the mode that bootstrap gives a file or directory of a target."""
    if "deployments" in path.parts[:-1]:  # the empty tier is sealed
        return 0o555 if path.is_dir() else 0o444
    if path.name == "lock":
        return 0o660 if shared else 0o600
    if path.is_dir():
        return 0o2775 if shared else 0o755
    return 0o664 if shared else 0o644


def rotation(layout: Layout) -> dict[str, str]:
    """Return the colors that production and staging point to."""
    return {name: text for name, text in links(layout).items() if name in ("production", "staging")}


def opened(layout: Layout, number: int) -> Path:
    """Let its owner change a deployment that is sealed, and nothing tell; return it."""
    top = Path(layout.within(f"deployments/{number}"))
    (top / "meta" / "manifest").unlink(missing_ok=True)
    events = map(json.loads, Path(layout.history).read_text().splitlines())
    lines = [json.dumps({**event, "built": None}) + "\n" for event in events]
    Path(layout.history).write_text("".join(lines))
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)
    return top


def links(layout: Layout) -> dict[str, str]:
    """Return what the symlinks of an infrastructure say, by name."""
    top = Path(layout.infrastructure)
    return {path.name: str(path.readlink()) for path in sorted(top.iterdir()) if path.is_symlink()}


def listing(directory: Path | str) -> dict[str, tuple[int, int, int, int, bytes]]:
    """Return all that can be seen of a tree: inode, mode, size, time of change, content."""
    found = {}
    for path in sorted(Path(directory).rglob("*")):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = str(path.readlink()).encode()
        elif path.is_file():
            content = path.read_bytes()
        name = str(path.relative_to(directory))
        found[name] = status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, content
    return found
