"""Targets made by hand, on any filesystem."""

from pathlib import Path

from tierctl.filesystem import FileSystem
from tierctl.layout import Layout
from tierctl.osfilesystem import OsFileSystem


def make_target(
    directory: Path | str,
    *,
    production: str | None = "green",
    staging: str | None = "blue",
    blue: int | None = None,
    green: int | None = None,
    deployments: tuple[int, ...] = (),
    fs: FileSystem | None = None,
) -> Layout:
    """Make a target as older scripts did: four names and nothing else.

    A color with a number is a symlink to that deployment, without one a plain
    directory; ``deployments`` are finished ones that no color shows.
    """
    fs = fs or OsFileSystem()
    layout = Layout.of_target(str(directory))
    if isinstance(fs, OsFileSystem):
        Path(directory).mkdir(parents=True, exist_ok=True)
    fs.make_directory(layout.infrastructure, 0o755)
    colors = {"blue": blue, "green": green}
    for number in (*deployments, *filter(None, colors.values())):
        make_deployment(layout, number, fs=fs)
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
    layout: Layout, number: int, *, finished: bool = True, fs: FileSystem | None = None
) -> None:
    """Make a deployment with nothing in it but the record that says that it is finished."""
    fs = fs or OsFileSystem()
    directory = f"deployments/{number}"
    for path in (layout.deployments, layout.within(directory), layout.within(f"{directory}/meta")):
        try:
            fs.make_directory(path, 0o755)
        except FileExistsError:
            continue
    if finished:
        fs.write(layout.deployment_record(directory), b"{}\n", mode=0o644)


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
