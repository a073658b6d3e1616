"""What a target is to be after each command: tiers, colors, deployments and history, in short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tierctl.rotation.names import BLUE, GREEN, PRODUCTION, STAGING

# What a color shows: a deployment's number, or its own name where it is a plain directory.
Content = int | str
Shown = dict[str, Content]
COLORS = (BLUE, GREEN)


class Refusal(Exception):
    """A command that is to change nothing, and to exit with 1."""


class Line(NamedTuple):
    """A line of history: what kind of change, and what the names showed after it."""

    kind: str
    after: Shown


class Picture(NamedTuple):
    """All that is compared with what is on disk; ``history`` with its oldest line first."""

    shows: Shown
    deployments: frozenset[int]
    history: tuple[Line, ...]


@dataclass(frozen=True)
class Way:
    """What production served before, newest first, and what it left by going back."""

    trail: tuple[Content, ...] = ()
    left: frozenset[Content] = frozenset()

    def forward(self, old: Content | None, new: Content) -> Way:
        behind = () if old in (None, new) else (old,)
        kept = tuple(content for content in self.trail if content not in (old, new))
        return Way((*behind, *kept), self.left - {new})

    def back(self, old: Content, new: Content) -> Way:
        if new not in self.trail:
            newer = isinstance(old, int) and isinstance(new, int) and new > old
            rest = tuple(content for content in self.trail if content != old)
            return self.forward(old, new) if newer else Way(rest, (self.left | {old}) - {new})
        place = self.trail.index(new)
        rest = tuple(content for content in self.trail[place + 1 :] if content != old)
        return Way(rest, (self.left | {old, *self.trail[:place]}) - {new})

    def moved(self, recorded: Content | None, found: Content | None) -> Way:
        """Return the way where somebody has moved production by hand."""
        if recorded == found:
            return self
        if found is None:
            return replace(self, trail=(recorded, *self.trail))
        back = recorded is not None and found in self.trail
        return self.back(recorded, found) if back else self.forward(recorded, found)

    def renamed(self, plain: Content, number: int) -> Way:
        return replace(self, trail=tuple(number if c == plain else c for c in self.trail))


@dataclass
class Model:
    """``built`` holds for each deployment the version that it was built from, if that is known.

    ``empty`` are those that hold nothing.
    """

    shows: Shown
    built: dict[int, int | None] = field(default_factory=dict)
    history: tuple[Line, ...] = ()
    way: Way = Way()
    highest: int = 0
    empty: frozenset[Content] = frozenset()

    @property
    def picture(self) -> Picture:
        return Picture(self.shows, frozenset(self.built), self.history)

    @property
    def staging(self) -> str:
        return str(self.shows[STAGING])

    @property
    def way_now(self) -> Way:
        """The way, from where production is and not where history says."""
        if not self.history:
            return Way()
        return self.way.moved(served(self.history[-1].after), served(self.shows))

    def promote(self, to: str | None, *, force: bool) -> None:
        if to is not None and to == self.shows.get(PRODUCTION):
            return
        staged, way = self.shows[self.staging], self.way_now
        if to not in (None, self.staging):
            raise Refusal
        if not force and isinstance(staged, int) and staged in (*way.left, *way.trail):
            raise Refusal
        self._swap("promotion", way.forward(served(self.shows), staged))

    def roll_back(self, to: int | None) -> None:
        now, staged, way = served(self.shows), self.shows[self.staging], self.way_now
        if now is None or (to is None and not way.trail):
            raise Refusal
        wanted = way.trail[0] if to is None else to
        if wanted == now:
            return
        if wanted != staged and (wanted not in self.built or not isinstance(staged, int)):
            raise Refusal
        if to is None and wanted in self.empty and now not in self.empty:
            raise Refusal
        self.shows = {**self.shows, self.staging: wanted}
        self._swap("rollback", way.back(now, wanted))

    def deploy(self, tier: str, version: int, *, rebuild: bool) -> None:
        name = self.staging if tier == STAGING else tier
        if PRODUCTION in (tier, name) or name == self.shows.get(PRODUCTION):
            raise Refusal
        shown = self.shows.get(name)
        if not rebuild and isinstance(shown, int) and self.built[shown] == version:
            return
        spare = name in COLORS and any(isinstance(self.shows[c], str) for c in COLORS)
        self.highest += 1 + spare
        self.built[self.highest] = version
        way = self.way_now
        if isinstance(shown, str):  # a plain directory gets the number before
            self.built[self.highest - 1] = None
            way = way.renamed(shown, self.highest - 1)
        self.shows = {**self.shows, name: self.highest}
        self._record("deploy", way, [name])

    def prune(self, keep: int, *, young: bool) -> None:
        """``young``: what is young stays too, and all of it is."""
        newest = sorted(self.built, reverse=True)[:keep]
        kept = {*self.shows.values(), *self.way.trail[:1], *newest}
        for number in list(self.built):
            if not young and number not in kept:
                del self.built[number]

    def point(self, color: str, number: int) -> None:
        """Somebody points a color elsewhere by hand."""
        self.shows = {**self.shows, color: number}

    def _swap(self, kind: str, way: Way) -> None:
        other = GREEN if self.staging == BLUE else BLUE
        self.shows = {**self.shows, PRODUCTION: self.staging, STAGING: other}
        self._record(kind, way)

    def _record(self, kind: str, way: Way, private: Sequence[str] = ()) -> None:
        self.way = way
        self.history += (Line(kind, said(self.shows, private)),)


def served(shows: Shown) -> Content | None:
    """Return what production serves."""
    return shows.get(str(shows[PRODUCTION])) if PRODUCTION in shows else None


def said(shows: Shown, private: Sequence[str] = ()) -> Shown:
    """Return what a line of history says: of private tiers only the one that it is about."""
    names = (PRODUCTION, STAGING, *COLORS, *private)
    return {name: shows[name] for name in names if name in shows}


# What one types


class Promote(NamedTuple):
    to: str | None = None
    force: bool = False

    def on(self, model: Model) -> None:
        model.promote(self.to, force=self.force)

    @property
    def words(self) -> list[str]:
        to = [] if self.to is None else ["--to", self.to]
        return ["promote-staging", *to, *(["--force"] if self.force else [])]


class RollBack(NamedTuple):
    to: int | None = None

    def on(self, model: Model) -> None:
        model.roll_back(self.to)

    @property
    def words(self) -> list[str]:
        return ["rollback", *([] if self.to is None else ["--to", str(self.to)])]


class Deploy(NamedTuple):
    """``version`` is what the definitions say; see ``Model.built``."""

    tier: str
    version: int
    rebuild: bool

    def on(self, model: Model) -> None:
        model.deploy(self.tier, self.version, rebuild=self.rebuild)

    @property
    def words(self) -> list[str]:
        return ["deploy", self.tier, *(["--rebuild"] if self.rebuild else [])]


class Prune(NamedTuple):
    keep: int
    young: bool

    def on(self, model: Model) -> None:
        model.prune(self.keep, young=self.young)

    @property
    def words(self) -> list[str]:
        older = "30d" if self.young else "0d"
        return ["prune", "--keep", str(self.keep), "--older-than", older]


class Ask(NamedTuple):
    """A command that changes nothing in a target that is whole."""

    words: list[str]

    def on(self, model: Model) -> None:
        pass


Command = Promote | RollBack | Deploy | Prune | Ask
