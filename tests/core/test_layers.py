"""Imports go one way, and few modules touch the disk: the layers hold for every module there is."""

import ast

import pytest

from rooms import (
    KNOWN,
    Module,
    above,
    imported_modules,
    imports,
    modules,
    parsed,
    without_types,
)

# Above everything: what turns arguments into calls, and results into text.
COMMAND_LINE = ("tierctl.cli", "tierctl.__main__")
LIBRARIES_OF_THE_COMMAND_LINE = {"click", "rich"}

# These compute: what they may import does no input or output.
PURE = {
    "rotation.names",
    "rotation.plan",
    "rotation.state",
    "rotation.trail",
    "target.paths",
    "text",
}
PURE_IMPORTS = {
    "__future__",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "os.path",
    "shlex",
    "typing",
    *(f"tierctl.{name}" for name in PURE),
}

# The seam to the operating system, and its doubles.
SEAM = {
    "tierctl.demo",  # all that it writes is its own, and thrown away
    "tierctl.deploy.definitions.overlay",  # it is copied into a build that is held
    "tierctl.deploy.engine.worker.confining",
    "tierctl.deploy.engine.worker.notes",
    "tierctl.fs",
    "tierctl.testing",
}
CHANGES_OF_OS = {
    *(
        "chmod",
        "chown",
        "fchmod",
        "fchown",
        "lchown",
        "ftruncate",
        "truncate",
        "fsync",
        "fdatasync",
    ),
    *("link", "symlink", "mkdir", "makedirs", "mknod", "mkfifo", "rename", "renames", "replace"),
    *("remove", "removedirs", "rmdir", "unlink", "utime", "pwrite", "sync", "O_CREAT"),
}
CHANGES_OF_PATHLIB = {
    *("hardlink_to", "symlink_to", "touch", "write_bytes", "write_text", "lchmod"),
    *("mkdir", "rmdir", "unlink", "chmod"),
}
CHANGING_MODULES = {"fcntl", "shutil", "tempfile", "ctypes"}


BELOW_THE_COMMAND_LINE = [m for m in modules() if not m.is_part_of(*COMMAND_LINE)]
OUTSIDE_THE_SEAM = [m for m in modules() if not m.is_part_of(*SEAM)]


def of_the_command_line(module: Module) -> list[str]:
    """Return what a module imports that belongs to the command line alone."""
    return [
        name
        for name in imports(module)
        if name.split(".")[0] in LIBRARIES_OF_THE_COMMAND_LINE
        or parsed(name, "").is_part_of(*COMMAND_LINE)
    ]


def changes(module: Module) -> list[str]:
    """Return the calls by which a module could change what is on disk, past the seam."""
    found = [name for name in imports(module) if name.split(".")[0] in CHANGING_MODULES]
    found += [name for name in imports(module) if name.removeprefix("os.") in CHANGES_OF_OS]
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=attribute):
                if attribute in CHANGES_OF_OS:
                    found.append(f"os.{attribute}")
            case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in CHANGES_OF_PATHLIB:
                found.append(f".{attribute}()")
            case ast.Call(func=ast.Name(id="open"), args=[_, ast.Constant(value=str(mode)), *_]):
                if set(mode) & set("wax+"):
                    found.append(f"open(..., {mode!r})")
    return found


@pytest.mark.parametrize("module", BELOW_THE_COMMAND_LINE, ids=lambda module: module.name)
def test_nothing_below_the_command_line_knows_of_it(module: Module) -> None:
    assert [] == of_the_command_line(module)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_room_imports_from_those_below_it_alone(module: Module) -> None:
    assert [] == above(module)


@pytest.mark.parametrize("module", OUTSIDE_THE_SEAM, ids=lambda module: module.name)
def test_only_the_seam_changes_what_is_on_disk(module: Module) -> None:
    assert [] == changes(module)


@pytest.mark.parametrize("name", sorted(PURE))
def test_what_is_pure_imports_nothing_that_does_input_or_output(name: str) -> None:
    (module,) = (module for module in modules() if module.name == f"tierctl.{name}")
    assert set() == imported_modules(module) - PURE_IMPORTS


def test_the_doubles_are_for_tests_alone() -> None:
    inside = [module for module in modules() if not module.is_part_of("tierctl.testing")]
    for module in inside:
        assert [] == [name for name in imports(module) if name.startswith("tierctl.testing")], (
            module.name
        )


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """Neither at import nor inside functions; for types alone they may."""
    graph = {
        module.name: imported_modules(without_types(module)) & KNOWN - {module.name}
        for module in modules()
    }
    done: set[str] = set()

    def visit(name: str, on_the_way: tuple[str, ...]) -> None:
        assert name not in on_the_way, " -> ".join((*on_the_way, name))
        if name not in done:
            for needed in sorted(graph[name]):
                visit(needed, (*on_the_way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


class TestTheRules:
    """The rules above find what breaks them."""

    @pytest.mark.parametrize(
        "source",
        [
            "import click",
            "def late():\n    from rich.console import Console",
            "import tierctl.cli.output",
            "from tierctl.cli import output",
            "from tierctl import cli",
            "from tierctl.__main__ import run",
        ],
    )
    def test_an_import_of_the_command_line_is_found(self, source: str) -> None:
        assert [] != of_the_command_line(parsed("tierctl.rotation.state", source))

    @pytest.mark.parametrize(
        "source",
        [
            "from tierctl.change import change",
            "import tierctl.deploy.build",
            "def late():\n    from tierctl import prune",
            "if TYPE_CHECKING:\n    from tierctl.journal.events import Event",
        ],
    )
    def test_an_import_from_a_room_above_is_found(self, source: str) -> None:
        assert [] != above(parsed("tierctl.target.links", source))

    @pytest.mark.parametrize(
        "source",
        [
            "import os\nos.rename('a', 'b')",
            "import os\nos.replace('a', 'b')",
            "from os import symlink",
            "import os\nremove = os.unlink",
            "import fcntl",
            "def late():\n    from shutil import rmtree",
            "open('file', 'w')",
            "open('file', 'r+b')",
            "Path('x').write_text('')",
            "Path('x').unlink()",
            "import os\nos.open('x', os.O_WRONLY | os.O_CREAT)",
        ],
    )
    def test_a_change_past_the_seam_is_found(self, source: str) -> None:
        assert [] != changes(parsed("tierctl.report.status", source))

    @pytest.mark.parametrize(
        "source",
        [
            "import os\nos.open('x', os.O_RDONLY)\nos.stat('x')\nos.listdir('x')",
            "open('file', 'rb')\nopen('file')",
            "def f(fs):\n    fs.rename('a', 'b')\n    fs.remove('a')",
            "from os import path as paths",
            "text.replace('a', 'b')",
        ],
    )
    def test_looking_and_the_seam_itself_are_no_changes(self, source: str) -> None:
        assert [] == changes(parsed("tierctl.report.status", source))

    @pytest.mark.parametrize(
        "source", ["import os", "from os import stat", "import time", "import tierctl.fs.protocol"]
    )
    def test_input_and_output_in_pure_modules_is_found(self, source: str) -> None:
        assert set() != imported_modules(parsed("tierctl.rotation.trail", source)) - PURE_IMPORTS
