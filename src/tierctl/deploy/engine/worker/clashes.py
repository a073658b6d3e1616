"""Clashes: paths that several packages of one environment bring, each with something else.

The engine links packages side by side. Where two have a file of one path it keeps
both, and shows that of the package which comes later by what depends on what. That
is told. In other cases what is there in the end differs from time to time, a file
is lost, or one package is written into another one, in the cache as well: those
are refused before anything is linked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from tierctl.deploy.engine.worker.failures import Failed
from tierctl.deploy.engine.worker.members import Contents, Kind
from tierctl.deploy.engine.worker.wheels import WheelsFailed
from tierctl.text import shown

if TYPE_CHECKING:
    from rattler import RepoDataRecord

    from tierctl.deploy.engine.worker.solving import Environments


_MOST_TOLD = 10


class _As(Enum):
    """What a package brings a path as, in words."""

    FILE = "a file"
    LINK = "a symlink"
    DIRECTORY = "a directory"
    COMMAND = "a command"


_KINDS = {Kind.FILE: _As.FILE, Kind.LINK: _As.LINK, Kind.DIRECTORY: _As.DIRECTORY}


class _Brought(NamedTuple):
    """A path as a package brings it; ``content`` is "" where nobody says what that is."""

    package: str
    kind: _As
    content: str

    def __str__(self) -> str:
        return f"{shown(self.package)} as {self.kind.value}"


# By path, who brings it: what is used in the end is that of the last one.
Owners = dict[str, tuple[str, ...]]


_REFUSED = (
    "packages that cannot be in one environment: one would lose a file, or be written into. "
    "Leave one of them out, or give it an environment of its own:"
)


def require_told(
    found: Mapping[str, Sequence[Contents]], solved: Environments
) -> dict[str, Owners]:
    """Return the clashes of all environments; raises ``Failed`` for those that are refused."""
    owners, wrong = dict[str, Owners](), dict[str, str]()
    for name, environment in found.items():
        owners[name], refused = of_packages(environment, solved[name].records)
        if refused:
            wrong[name] = "\n".join((_REFUSED, *_some(refused)))
    if wrong:
        raise Failed(wrong)
    return owners


def of_packages(
    environment: Sequence[Contents], records: Sequence[RepoDataRecord]
) -> tuple[Owners, list[str]]:
    """Return the clashes of the packages of one environment, whose ``records`` these are.

    And in words those that are refused.
    """
    owners, refused = Owners(), list[str]()
    order = None
    for path, brought in _differing(environment):
        if {each.kind for each in brought} & {_As.DIRECTORY, _As.COMMAND}:
            refused.append(_refused(path, brought))
        else:
            order = order or _order(records)
            owners[path] = tuple(sorted(_names(brought), key=order.index))
    return owners, refused


def require_told_of_wheels(environment: Sequence[Contents], wheels: Sequence[Contents]) -> Owners:
    """Return the clashes of wheels, in their order, with packages and each other.

    Raises ``WheelsFailed`` for those that are refused.
    """
    owners, refused = Owners(), list[str]()
    of_wheels = {wheel.package for wheel in wheels}
    for path, brought in _differing([*environment, *wheels]):
        names = _names(brought)
        if of_wheels.isdisjoint(names):
            continue
        if _As.DIRECTORY in {each.kind for each in brought}:
            refused.append(_refused(path, brought))
        else:
            owners[path] = tuple(names)
    if refused:
        raise WheelsFailed("\n".join((_REFUSED, *_some(refused))))
    return owners


def _differing(environment: Sequence[Contents]) -> Iterator[tuple[str, list[_Brought]]]:
    """Yield the paths that are brought more than once, and not each time as the same."""
    all_paths, shared = _paths(environment)
    inside = _above(all_paths) & all_paths
    for path, brought in _brought(environment, shared | inside).items():
        if path in inside:
            brought.append(_Brought(_owner_below(path, environment), _As.DIRECTORY, ""))
        if not (all(each.kind is _As.DIRECTORY for each in brought) or _are_the_same(brought)):
            yield path, brought


def _names(brought: Iterable[_Brought]) -> list[str]:
    return list(dict.fromkeys(each.package for each in brought))


def _refused(path: str, brought: Iterable[_Brought]) -> str:
    return f"{shown(path)} is in {' and in '.join(map(str, brought))}"


def in_words(owners: Owners) -> list[str]:
    """Return what to say of clashes: a text for all that have the same owners."""
    found = dict[tuple[str, ...], list[str]]()
    for path, names in sorted(owners.items()):
        found.setdefault(names, []).append(shown(path))
    return _some([_in_words(names, those) for names, those in found.items()])


def _in_words(owners: tuple[str, ...], those: list[str]) -> str:
    more = f" (and {len(those) - 1} more)" if len(those) > 1 else ""
    names = list(map(shown, owners))
    return f"{those[0]}{more} is in {' and in '.join(names)}: that of {names[-1]} is used"


def _some(texts: list[str]) -> list[str]:
    more = len(texts) - _MOST_TOLD
    return [*texts[:_MOST_TOLD], f"and {more} more"] if more > 0 else texts


def _order(records: Sequence[RepoDataRecord]) -> list[str]:
    """Return packages in the order in which the engine prefers the last one's files."""
    from rattler import PackageRecord

    names = {record.name.normalized: record.file_name for record in records}
    ordered = PackageRecord.sort_topologically(list(records))
    return [names[record.name.normalized] for record in ordered]


def _paths(environment: Iterable[Contents]) -> tuple[set[str], set[str]]:
    """Return all paths, and those that are brought more than once."""
    once, more = set[str](), set[str]()
    for contents in environment:
        for listed in (contents.targets, contents.commands):
            own = set(listed)
            more |= own & once
            if len(own) < len(listed):
                more |= {path for path, count in Counter(listed).items() if count > 1}
            once |= own
    return once, more


def _above(all_paths: Iterable[str]) -> set[str]:
    """Return the directories that paths are in."""
    found = set[str]()
    for directory in {path.rpartition("/")[0] for path in all_paths}:
        while directory and directory not in found:
            found.add(directory)
            directory = directory.rpartition("/")[0]
    return found


def _brought(environment: Iterable[Contents], wanted: set[str]) -> dict[str, list[_Brought]]:
    """Return who brings some of all paths, and as what."""
    found: dict[str, list[_Brought]] = {path: [] for path in sorted(wanted)}
    for contents in environment if wanted else ():
        package = contents.package
        for path, entry in zip(contents.targets, contents.listed, strict=True):
            if path in wanted:
                kind = _KINDS[Kind(entry["path_type"])]
                content = contents.links[path] if kind is _As.LINK else entry.get("sha256") or ""
                found[path].append(_Brought(package, kind, content))
        for path, called in contents.commands.items():
            if path in wanted:
                found[path].append(_Brought(package, _As.COMMAND, called))
    return found


def _are_the_same(brought: Sequence[_Brought]) -> bool:
    first = brought[0]
    return bool(first.content) and all(each[1:] == first[1:] for each in brought)


def _owner_below(path: str, environment: Iterable[Contents]) -> str:
    return next(
        contents.package
        for contents in environment
        if any(each.startswith(f"{path}/") for each in (*contents.targets, *contents.commands))
    )
