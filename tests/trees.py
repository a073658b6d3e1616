"""File trees: their modes, and sealing one by its path."""

from pathlib import Path

from tierctl.fs import sealing, tree
from tierctl.fs.listing import Tree


def modes(top: Path) -> dict[str, int]:
    """Return the modes of a tree, symlinks apart."""
    found = [top, *top.rglob("*")]
    return {
        str(path.relative_to(top)): path.stat().st_mode & 0o7777
        for path in found
        if not path.is_symlink()
    }


def seal(top: Path | str, path: str = "", **options: str) -> Tree:
    """Seal what has a path in a tree, see ``sealing.seal``."""
    with tree.held(str(top)) as held:
        return sealing.seal(held, path, **options)
