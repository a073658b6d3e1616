"""The rooms of the package, and what its modules import."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tierctl

PACKAGE = Path(tierctl.__file__).parent

# From the bottom up: each imports only from those before it, and from itself.
ROOMS = (
    *("text", "errors", "rotation", "fs", "testing", "target", "profiles", "journal", "report"),
    *("change", "deploy", "prune", "doctor", "demo", "cli", "__main__"),
)


class Module(NamedTuple):
    """A module of the package: its dotted name, and its source."""

    name: str
    tree: ast.Module

    def is_part_of(self, *packages: str) -> bool:
        return any(self.name == name or self.name.startswith(name + ".") for name in packages)


def parsed(name: str, source: str) -> Module:
    return Module(name, ast.parse(source))


def modules() -> list[Module]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["tierctl", *path.relative_to(PACKAGE).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(parsed(name, path.read_text()))
    return found


def imports(module: Module) -> Iterator[str]:
    """Yield every module that one imports, anywhere in it, and what it takes out of each."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} imports relative to itself"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(module: Module) -> set[str]:
    """Return the modules, and no names in them: ``from os import path`` is ``os.path``."""
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules_inside = inside & {"os.path", *KNOWN}
            found |= modules_inside or {node.module}
    return found


KNOWN = {module.name for module in modules()}


def room(name: str) -> str:
    """Return the room of a module, by its dotted name."""
    return name.split(".")[1] if "." in name else ""


def above(module: Module) -> list[str]:
    """Return what a module imports from rooms above its own, inside functions too."""
    own = room(module.name)
    return [
        name
        for name in imported_modules(module) & KNOWN
        if own and room(name) and ROOMS.index(room(name)) > ROOMS.index(own)
    ]


def without_types(module: Module) -> Module:
    """Return a module without what it imports for types alone."""
    kept = ast.parse(ast.unparse(module.tree))
    kept.body = [
        each
        for each in kept.body
        if not (isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING")
    ]
    return module._replace(tree=kept)
