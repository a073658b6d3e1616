"""Environment files: what conda and pip are to install, read with line numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import path as paths
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tierctl.deploy.definitions import files, personal, requirements, secrets
from tierctl.deploy.definitions.problems import Place, Problems
from tierctl.rotation.names import is_plain_name
from tierctl.text import shown

_KEYS = {"name", "channels", "dependencies"}

WrongSpec = Callable[[str], str]


@dataclass(frozen=True)
class Environment:
    """A conda environment: channels, match specs, and the lines of a requirements file for pip."""

    name: str
    place: Place
    channels: tuple[str, ...]
    specs: tuple[str, ...]
    pip: tuple[str, ...] = ()


def read_environment(
    file: str, problems: Problems, wrong_spec: WrongSpec, sources: files.Sources
) -> Environment | None:
    """Return what a file says, or None, having noted what is wrong with it."""
    return _Reader(file, problems, wrong_spec, sources).read()


class _Reader:
    """Reads one file."""

    def __init__(
        self, file: str, problems: Problems, wrong_spec: WrongSpec, sources: files.Sources
    ) -> None:
        self._file = file
        self._directory = paths.dirname(paths.abspath(file))
        self._problems = problems
        self._wrong_spec = wrong_spec
        self._sources = sources

    def read(self) -> Environment | None:
        """Return the environment; None if anything is wrong."""
        before = len(self._problems)
        top = self._parsed()
        if top is None:
            return None
        members = dict(self._members(top))
        name = self._name(members.get("name"))
        channels = tuple(self._channels(self._list(top, members, "channels")))
        specs, pip = self._dependencies(self._list(top, members, "dependencies"))
        if len(self._problems) > before:
            return None
        return Environment(name, self._place(top), channels, specs, pip)

    def _wrong(self, node: yaml.Node, text: str) -> None:
        self._problems.add(self._place(node), text)

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1)

    def _parsed(self) -> yaml.MappingNode | None:
        try:
            text = files.read(self._file, self._sources).decode()
            top = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = 0 if mark is None else mark.line + 1
            self._problems.add(Place(self._file, line), f"no valid YAML: {error.problem}")
            return None
        except OSError as error:
            self._problems.add(Place(self._file), f"cannot be read: {error.strerror}")
            return None
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            self._problems.add(Place(self._file), f"cannot be read as YAML: {error}")
            return None
        if not isinstance(top, yaml.MappingNode):
            self._problems.add(Place(self._file), "holds no environment: name, dependencies, ...")
            return None
        return top

    def _members(self, mapping: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
        seen = set()
        for key, value in mapping.value:
            name = self._text(key)
            if not name:
                continue
            if name in seen:
                self._wrong(key, f"{shown(name)} is there twice")
            elif name not in _KEYS:
                self._wrong(key, f"unknown key {shown(name)}")
            seen.add(name)
            yield name, value

    def _name(self, node: yaml.Node | None) -> str:
        stem = paths.splitext(paths.basename(self._file))[0]
        if node is None:
            name, place = stem, Place(self._file)
        else:
            name, place = self._text(node), self._place(node)
        if not is_plain_name(name):
            self._problems.add(
                place, f"{shown(name)!r} cannot be a name: letters, digits, '_', '.' and '-'"
            )
        return name

    def _list(self, top: yaml.Node, members: dict[str, yaml.Node], key: str) -> list[yaml.Node]:
        node = members.get(key)
        if node is None:
            self._wrong(top, f"{key} are missing")
            return []
        return self._items(node, key)

    def _items(self, node: yaml.Node, key: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(node, f"{key} has to be a list")
            return []
        if not node.value:
            self._wrong(node, f"{key} is empty")
        items: list[yaml.Node] = node.value
        return items

    def _channels(self, nodes: list[yaml.Node]) -> Iterator[str]:
        for node in nodes:
            channel = self._text(node)
            try:
                yield self._channel(channel)
            except ValueError as error:
                self._wrong(node, f"{shown(channel)!r} {error}")

    def _channel(self, text: str) -> str:
        """Return a channel's name or URL; a path is one of a directory, relative to the file."""
        if not text or text.startswith("-") or not text.isprintable():
            raise ValueError("is no channel")
        try:
            urlsplit(text)
        except ValueError as error:
            raise ValueError("is no channel") from error
        personal.require_none(text)
        secrets.require_none(text)
        if text.startswith((".", "/")):
            return Path(paths.normpath(paths.join(self._directory, text))).as_uri()
        return text

    def _dependencies(self, nodes: list[yaml.Node]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        specs: list[str] = []
        pip: list[str] = []
        for node in nodes:
            if isinstance(node, yaml.MappingNode):
                pip.extend(self._pip(node))
                continue
            spec = self._text(node)
            if wrong := self._wrong_spec(spec):
                self._wrong(node, f"{shown(spec)!r} is no match spec: {wrong}")
            try:
                personal.require_none(spec)
                secrets.require_none(spec)
            except ValueError as error:
                self._wrong(node, f"{shown(spec)!r} {error}")
            specs.append(spec)
        if pip and not requirements.has_requirement(pip):
            self._wrong(nodes[0], "the pip section asks for nothing")
        if pip and not any(re.match(r"(.*::)?python\b(?!-)", spec) for spec in specs):
            self._wrong(nodes[0], "the pip section needs python among the dependencies")
        return tuple(specs), tuple(pip)

    def _pip(self, section: yaml.MappingNode) -> Iterator[str]:
        for key, value in section.value:
            if key.value != "pip":
                self._wrong(key, f"unknown key {shown(str(key.value))}")
                continue
            for node in self._items(value, "pip"):
                line = self._text(node)
                try:
                    yield requirements.read(line, self._directory)
                except ValueError as error:
                    self._wrong(node, f"{shown(line)!r} {error}")

    def _text(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value).strip()
        self._wrong(node, "has to be text")
        return ""
