"""``carry_out`` and ``preview``: what each change does, refuses, and says when something fails."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from places import FILESYSTEMS, place_on
from targets import listing, make_deployment, make_target
from tierctl import changes, history, intent
from tierctl.changes import Outcome
from tierctl.errors import (
    BadFile,
    ChangeFailed,
    ChangeUnfinished,
    Guarded,
    Interrupted,
    InvalidLink,
    Locked,
    NothingToRollBackTo,
    NotWritable,
    SameColor,
    TierctlError,
    Untrusted,
    WrongColor,
)
from tierctl.events import Author, Event, EventKind
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import LINKS, Layout, temporary
from tierctl.observe import observe
from tierctl.request import Promotion, Request, Rollback
from tierctl.rotation import Color, Content, State, promoted
from tierctl.testing import Effect, Fault, FaultyFileSystem, Killed, MemoryFileSystem

ADA = Author("ada", "lab", "because")
BOB = Author("bob", "lab")
FULL = (errno.ENOSPC, errno.EDQUOT)

PLAIN = State(Color.GREEN, Color.BLUE, Content("blue"), Content("green"))


class Heard:
    """A reporter that remembers what it was told, in order."""

    def __init__(self, on_done: Callable[[], object] | None = None) -> None:
        self.told: list[Event | Outcome | str] = []
        self.on_done = on_done

    def recovered(self, event: Event) -> None:
        self.told.append(event)

    def done(self, outcome: Outcome) -> None:
        self.told.append(outcome)
        if self.on_done is not None:
            self.on_done()

    def warn(self, text: str) -> None:
        self.told.append(text)

    @property
    def outcome(self) -> Outcome:
        (outcome,) = (told for told in self.told if isinstance(told, Outcome))
        return outcome

    @property
    def recovery(self) -> Event:
        (event,) = (told for told in self.told if isinstance(told, Event))
        return event

    @property
    def warnings(self) -> list[str]:
        return [told for told in self.told if isinstance(told, str)]


class Target(NamedTuple):
    """An infrastructure, and the filesystem that it is on."""

    fs: FileSystem
    layout: Layout

    @property
    def state(self) -> State:
        return observe(self.fs, self.layout)

    @property
    def served(self) -> int | None:
        served = self.state.served
        return None if served is None else served.deployment

    @property
    def events(self) -> list[Event]:
        """The events, newest first."""
        return list(history.newest_first(self.fs, self.layout))

    @property
    def is_noted(self) -> bool:
        return exists(self.fs, self.layout.intent)

    def carry_out(
        self, request: Request, fault: Fault | None = None, author: Author = ADA
    ) -> Heard:
        heard = Heard()
        fs = self.fs if fault is None else FaultyFileSystem(self.fs, fault)
        changes.carry_out(fs, self.layout, request, author, heard, lock_timeout=0)
        return heard

    def preview(self, request: Request) -> Heard:
        heard = Heard()
        changes.preview(self.fs, self.layout, request, ADA, heard)
        return heard

    def fail(
        self,
        request: Request,
        verb: str,
        path: str,
        number: int | None,
        effect: Effect = Effect.NONE,
    ) -> Heard:
        """Carry out a request whose first operation of a kind on a path fails."""
        heard = Heard()
        fs = Failing(self.fs, verb, path, number, effect)
        changes.carry_out(fs, self.layout, request, ADA, heard, lock_timeout=0)
        assert fs.fired
        return heard

    def kill(self, request: Request, verb: str, path: str, effect: Effect = Effect.NONE) -> None:
        """Be killed at an operation on the way."""
        with pytest.raises(Killed):
            self.fail(request, verb, path, None, effect)

    def point(self, tier: str, target: str) -> None:
        """Point a link elsewhere, by hand."""
        if exists(self.fs, self.layout.within(tier)):
            self.fs.remove(self.layout.within(tier))
        self.fs.make_link(self.layout.within(tier), target)

    def deploy(self, number: int) -> None:
        """Point staging's color to a new deployment, as a deploy does."""
        make_deployment(self.layout, number, fs=self.fs)
        self.point(self.state.staging.value, f"deployments/{number}")


class Failing(FaultyFileSystem):
    """A filesystem with a fault at the first operation of one kind on one path."""

    def __init__(
        self, inner: FileSystem, verb: str, path: str, number: int | None, effect: Effect
    ) -> None:
        super().__init__(inner, Fault(0, number, effect))
        self.struck = verb, path

    def _do(self, verb: str, path: str, *operations: Callable[[], object] | None) -> object:
        if (verb, path) == self.struck and not self.fired:
            self.fault = self.fault._replace(at=self.operations + 1)
        return super()._do(verb, path, *operations)


Make = Callable[..., Target]


def in_memory(*, exchanges: bool = True) -> tuple[MemoryFileSystem, Target]:
    """Return a target as ``new``, flushed, and its filesystem in memory."""
    fs = MemoryFileSystem(exchanges=exchanges)
    fs.make_directory("/place", 0o755)
    target = Target(fs, make_target("/place", blue=42, green=41, fs=fs))
    fs.cut_power(fs.unflushed)
    return fs, target


@pytest.fixture(params=FILESYSTEMS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make a target: ``make(blue=42, green=41)``."""
    place = place_on(request.param, tmp_path)

    def make(**links: object) -> Target:
        return Target(place.fs, make_target(place.root, fs=place.fs, **links))

    return make


@pytest.fixture
def plain(make: Make) -> Target:
    """Two plain directories, as made by hand."""
    return make()


@pytest.fixture
def new(make: Make) -> Target:
    """Production serves 41, staging shows 42, nothing is recorded."""
    return make(blue=42, green=41)


@pytest.fixture
def moved(new: Target) -> Target:
    """Production has moved on from 41 to 42."""
    new.carry_out(Promotion())
    return new


@pytest.fixture
def travelled(moved: Target) -> Target:
    """Production has served 41, 42, 43 and now 44."""
    for number in (43, 44):
        moved.deploy(number)
        moved.carry_out(Promotion())
    return moved


class TestPromotion:
    def test_plain_directories_go_back_and_forth(self, plain: Target) -> None:
        for state in (promoted(PLAIN), PLAIN, promoted(PLAIN)):
            plain.carry_out(Promotion())
            assert state == plain.state
        assert 3 == len(plain.events)

    def test_production_serves_what_was_staged(self, new: Target) -> None:
        outcome = new.carry_out(Promotion()).outcome
        assert 42 == new.served
        assert ["exchange production and staging"] == list(map(str, outcome.steps))
        assert (outcome.after, [outcome.event]) == (new.state, new.events)

    def test_the_event_tells_who_why_and_what(self, new: Target) -> None:
        before = new.state
        new.carry_out(Promotion())
        (event,) = new.events
        assert (EventKind.PROMOTION, ADA) == (event.kind, event.author)
        assert (before, new.state) == (event.before, event.after)

    def test_the_first_one_makes_production(self, make: Make) -> None:
        target = make(production=None)
        outcome = target.carry_out(Promotion()).outcome
        assert promoted(PLAIN) == target.state
        steps = ["point staging to green", "point production to blue"]
        assert steps == list(map(str, outcome.steps))

    def test_it_is_done_and_tidy(self, new: Target) -> None:
        new.carry_out(Promotion())
        assert [".tierctl", *sorted((*LINKS, "deployments"))] == new.fs.names(
            new.layout.infrastructure
        )
        assert ["history.jsonl", "holder.json", "lock"] == new.fs.names(new.layout.control)

    def test_without_exchange_the_links_are_replaced_one_by_one(self) -> None:
        _, target = in_memory(exchanges=False)
        outcome = target.carry_out(Promotion()).outcome
        assert 42 == target.served
        steps = ["point production to blue", "point staging to green"]
        assert steps == list(map(str, outcome.steps))

    def test_to_a_color_is_done_once(self, new: Target) -> None:
        new.carry_out(Promotion(to=Color.BLUE))
        again = new.carry_out(Promotion(to=Color.BLUE)).outcome
        assert Outcome(new.state, new.state, (), None) == again
        assert (42, 1) == (new.served, len(new.events))

    def test_to_a_color_that_is_not_staged_is_refused(self, make: Make) -> None:
        target = make(production=None)
        with pytest.raises(WrongColor):
            target.carry_out(Promotion(to=Color.GREEN))
        assert target.state.production is None

    def test_what_production_served_before_is_guarded(self, moved: Target) -> None:
        with pytest.raises(Guarded, match="rollback") as caught:
            moved.carry_out(Promotion())
        assert "rollback --to 41" == caught.value.command
        assert (42, 1) == (moved.served, len(moved.events))

    def test_what_was_rolled_back_is_guarded(self, moved: Target) -> None:
        moved.carry_out(Rollback())
        with pytest.raises(Guarded, match="rolled back"):
            moved.carry_out(Promotion())
        assert 41 == moved.served

    def test_what_was_never_finished_is_guarded(self, plain: Target) -> None:
        make_deployment(plain.layout, 7, finished=False, fs=plain.fs)
        new = plain._replace()
        new.fs.rename(new.layout.within("blue"), new.layout.within("old"))
        new.fs.make_link(new.layout.within("blue"), "deployments/7")
        with pytest.raises(Guarded, match="deployment 7, which was never finished"):
            new.carry_out(Promotion())
        assert (None, []) == (new.served, new.events)
        new.carry_out(Promotion(force=True))
        assert 7 == new.served

    def test_force_passes_the_guards(self, moved: Target) -> None:
        moved.carry_out(Promotion(force=True))
        assert 41 == moved.served

    def test_force_passes_no_validation(self, plain: Target) -> None:
        plain.point("production", "blue")
        with pytest.raises(SameColor):
            plain.carry_out(Promotion(force=True))

    def test_without_records_nothing_is_guarded(self, moved: Target) -> None:
        moved.fs.remove(moved.layout.history)
        moved.carry_out(Promotion())
        assert 41 == moved.served


class TestRollback:
    def test_it_swaps_back_if_nothing_else_moved(self, moved: Target) -> None:
        outcome = moved.carry_out(Rollback()).outcome
        assert 41 == moved.served
        assert ["exchange production and staging"] == list(map(str, outcome.steps))

    def test_a_color_that_was_pointed_elsewhere_is_pointed_back_in_one_change(
        self, moved: Target
    ) -> None:
        moved.deploy(43)
        outcome = moved.carry_out(Rollback()).outcome
        assert 41 == moved.served
        steps = ["point green to deployments/41", "exchange production and staging"]
        assert steps == list(map(str, outcome.steps))
        assert [EventKind.ROLLBACK, EventKind.PROMOTION] == [e.kind for e in moved.events]

    def test_one_intent_covers_the_color_and_the_tiers(self, moved: Target) -> None:
        """Killed between the two: the next command finishes both."""
        moved.deploy(43)
        moved.kill(Rollback(), "exchange", moved.layout.within("production"))
        assert (42, Content.of_deployment(41)) == (moved.served, moved.state.staged)
        moved.carry_out(Rollback())
        assert (41, 2) == (moved.served, len(moved.events))

    def test_again_goes_further_back_and_never_forward(self, travelled: Target) -> None:
        went = []
        for _ in range(3):
            travelled.carry_out(Rollback())
            went.append(travelled.served)
        with pytest.raises(NothingToRollBackTo):
            travelled.carry_out(Rollback())
        assert [43, 42, 41] == went
        assert 41 == travelled.served

    def test_any_finished_deployment_can_be_named(self, travelled: Target) -> None:
        make_deployment(travelled.layout, 7, fs=travelled.fs)
        travelled.carry_out(Rollback(to=7))
        assert 7 == travelled.served
        travelled.carry_out(Rollback())
        assert 43 == travelled.served

    def test_over_several_it_leads_on_from_there(self, travelled: Target) -> None:
        travelled.carry_out(Rollback(to=42))
        travelled.carry_out(Rollback())
        assert 41 == travelled.served

    def test_what_is_served_is_no_change(self, moved: Target) -> None:
        assert moved.carry_out(Rollback(to=42)).outcome.event is None
        assert 1 == len(moved.events)

    def test_plain_directories_go_back_once(self, plain: Target) -> None:
        plain.carry_out(Promotion())
        plain.carry_out(Rollback())
        assert PLAIN == plain.state
        with pytest.raises(NothingToRollBackTo):
            plain.carry_out(Rollback())

    def test_a_promotion_goes_on_after_it(self, moved: Target) -> None:
        moved.carry_out(Rollback())
        moved.deploy(43)
        moved.carry_out(Promotion())
        moved.carry_out(Rollback())
        assert 41 == moved.served


def no_production(make: Make) -> tuple[Target, Request]:
    return make(production=None, blue=42, green=41), Rollback()


def only_the_first_promotion(make: Make) -> tuple[Target, Request]:
    target = make(production=None, blue=42, green=41)
    target.carry_out(Promotion())
    return target, Rollback()


def records_missing(make: Make) -> tuple[Target, Request]:
    target = make(blue=42, green=41)
    target.carry_out(Promotion())
    target.fs.remove(target.layout.history)
    return target, Rollback()


def content_gone(make: Make) -> tuple[Target, Request]:
    target = make(blue=42, green=41)
    target.carry_out(Promotion())
    target.deploy(43)
    record = target.layout.deployment_record("deployments/41")
    for path in (
        record,
        record.removesuffix("/deployment.json"),
        target.layout.within("deployments/41"),
    ):
        target.fs.remove(path)
    return target, Rollback()


def content_unfinished(make: Make) -> tuple[Target, Request]:
    target = make(blue=42, green=41)
    make_deployment(target.layout, 9, finished=False, fs=target.fs)
    return target, Rollback(to=9)


def never_there(make: Make) -> tuple[Target, Request]:
    return make(blue=42, green=41), Rollback(to=9)


def plain_directory_gone(make: Make) -> tuple[Target, Request]:
    """Staging's plain directory was adopted by a deploy since."""
    target = make()
    target.carry_out(Promotion())
    make_deployment(target.layout, 1, fs=target.fs)
    target.fs.remove(target.layout.within("green"))
    target.fs.make_link(target.layout.within("green"), "deployments/1")
    return target, Rollback()


def plain_directory_in_the_way(make: Make) -> tuple[Target, Request]:
    return make(green=41, deployments=(40,)), Rollback(to=40)


REFUSED_ROLLBACKS = {
    no_production: "production does not exist yet",
    only_the_first_promotion: "history does not say what production served before",
    records_missing: "history does not say what production served before",
    content_gone: "deployment 41 is not there",
    content_unfinished: "deployment 9 was never finished",
    never_there: "deployment 9 is not there",
    plain_directory_gone: "the plain directory green",
    plain_directory_in_the_way: "staging's color blue is a plain directory",
}


@pytest.mark.parametrize("build", REFUSED_ROLLBACKS)
def test_without_a_way_back_nothing_is_changed(
    make: Make, build: Callable[[Make], tuple[Target, Request]]
) -> None:
    target, request = build(make)
    before, events = target.state, target.events
    for attempt in (target.preview, target.carry_out):
        with pytest.raises(NothingToRollBackTo) as caught:
            attempt(request)
        assert REFUSED_ROLLBACKS[build] in caught.value.message
        assert caught.value.hint
    assert (before, events, False) == (target.state, target.events, target.is_noted)


class TestLinksMovedByHand:
    def test_forward_is_a_promotion_and_can_be_rolled_back(self, moved: Target) -> None:
        moved.deploy(43)
        moved.point("production", "green")
        moved.point("staging", "blue")
        moved.carry_out(Rollback())
        assert 42 == moved.served

    def test_back_is_a_rollback_and_leads_further_back(self, travelled: Target) -> None:
        color = travelled.state.staging.value
        travelled.point(color, "deployments/43")
        travelled.point("staging", travelled.state.production.value)  # type: ignore[union-attr]
        travelled.point("production", color)
        assert 43 == travelled.served
        travelled.carry_out(Rollback())
        assert 42 == travelled.served

    def test_what_was_taken_back_by_hand_is_guarded(self, moved: Target) -> None:
        moved.point("production", "green")
        moved.point("staging", "blue")
        with pytest.raises(Guarded, match="rolled back"):
            moved.carry_out(Promotion())


BROKEN: dict[str, tuple[str, str | None, type[TierctlError]]] = {
    "same color": ("production", "blue", SameColor),
    "production dangling": ("production", "nowhere", InvalidLink),
    "production a directory": ("production", None, InvalidLink),
    "staging dangling": ("staging", "nowhere", InvalidLink),
    "staging a directory": ("staging", None, InvalidLink),
    "staging outside": ("staging", "/", InvalidLink),
    "staging a loop": ("staging", "staging", InvalidLink),
    "color dangling": ("blue", "deployments/7", InvalidLink),
}


@pytest.mark.parametrize("request_", [Promotion(force=True), Rollback(to=42)])
@pytest.mark.parametrize("why", BROKEN)
def test_what_is_not_valid_leaves_everything_as_it_was(
    new: Target, why: str, request_: Request
) -> None:
    name, link, error = BROKEN[why]
    path = new.layout.within(name)
    new.fs.remove(path)
    if link is None:
        new.fs.make_directory(path, 0o755)
    else:
        new.fs.make_link(path, link)
    before = inodes(new)
    for attempt in (new.preview, new.carry_out):
        with pytest.raises(error):
            attempt(request_)
    assert before == inodes(new)
    assert ([], False) == (new.events, new.is_noted)


def inodes(target: Target) -> dict[str, int]:
    """Return the objects of an infrastructure, all but its records."""
    names = target.fs.names(target.layout.infrastructure)
    entries = {name: target.fs.entry(target.layout.within(name)) for name in names}
    return {name: entry.inode for name, entry in entries.items() if name != ".tierctl"}


class TestInterrupted:
    @pytest.mark.parametrize("effect", [Effect.NONE, Effect.WHOLE], ids=["before", "after"])
    def test_a_change_that_is_asked_for_again_is_finished_reported_and_no_more(
        self, new: Target, effect: Effect
    ) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"), effect)
        heard = new.carry_out(Promotion(), author=BOB)
        assert (42, False) == (new.served, new.is_noted)
        (event,) = new.events
        assert ADA == event.author
        assert [event, Outcome(event.before, event.after, (), event)] == heard.told

    def test_another_change_goes_ahead_when_it_is_finished(self, new: Target) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        heard = new.carry_out(Rollback(), author=BOB)
        assert (41, False) == (new.served, new.is_noted)
        rollback, promotion = new.events
        assert (BOB, ADA) == (rollback.author, promotion.author)
        assert [promotion] == heard.told[:1]
        assert rollback == heard.outcome.event

    def test_it_stays_finished_when_the_one_asked_for_is_refused(self, new: Target) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        with pytest.raises(NothingToRollBackTo):
            new.carry_out(Rollback(to=7))
        assert (42, 1, False) == (new.served, len(new.events), new.is_noted)

    def test_a_rollback_to_another_place_is_another_change(self, travelled: Target) -> None:
        travelled.kill(Rollback(), "exchange", travelled.layout.within("production"))
        travelled.carry_out(Rollback(to=41))
        assert (41, 5) == (travelled.served, len(travelled.events))

    def test_a_promotion_to_the_color_that_it_had_reached_is_the_same(self, new: Target) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        new.carry_out(Promotion(to=Color.BLUE))
        assert (42, 1) == (new.served, len(new.events))

    def test_what_was_reported_and_still_noted_is_reported_again_and_no_more(
        self, new: Target
    ) -> None:
        new.kill(Promotion(), "remove", new.layout.intent)
        new.carry_out(Promotion(force=True))
        assert (42, 1, False) == (new.served, len(new.events), new.is_noted)

    def test_links_that_were_moved_since_are_left_alone(self, new: Target) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        make_deployment(new.layout, 7, fs=new.fs)
        new.point("green", "deployments/7")
        before = inodes(new)
        for attempt in (new.preview, new.carry_out):
            with pytest.raises(Interrupted) as caught:
                attempt(Promotion())
            assert "green: deployment 41" in caught.value.message
            assert "green: deployment 7" in caught.value.message
            assert "doctor --fix" == caught.value.command
        assert (before, [], True) == (inodes(new), new.events, new.is_noted)

    def test_a_note_that_cannot_be_read_stops_everything(self, new: Target) -> None:
        new.carry_out(Promotion())
        new.fs.write(new.layout.intent, b"{", mode=0o644)
        for attempt in (new.preview, new.carry_out):
            with pytest.raises(BadFile):
                attempt(Rollback())
        assert 42 == new.served

    def test_links_that_were_prepared_and_forgotten_are_in_nobody_s_way(self, new: Target) -> None:
        for name in LINKS:
            new.fs.make_link(temporary(new.layout.within(name)), "elsewhere")
        new.carry_out(Promotion())
        assert 42 == new.served


class TestFullDisk:
    """A full disk never blocks the way back."""

    @pytest.mark.parametrize("number", FULL)
    @pytest.mark.parametrize("effect", [Effect.NONE, Effect.TORN])
    def test_a_promotion_is_refused_and_nothing_is_changed(
        self, new: Target, number: int, effect: Effect
    ) -> None:
        before = inodes(new)
        with pytest.raises(ChangeFailed):
            new.fail(Promotion(), "write", temporary(new.layout.intent), number, effect)
        assert (before, [], False) == (inodes(new), new.events, new.is_noted)
        assert not exists(new.fs, temporary(new.layout.intent))
        new.carry_out(Promotion())

    @pytest.mark.parametrize("number", FULL)
    def test_a_rollback_goes_ahead_without_a_note(self, moved: Target, number: int) -> None:
        heard = moved.fail(Rollback(), "write", temporary(moved.layout.intent), number)
        assert (41, [], False) == (moved.served, heard.warnings, moved.is_noted)
        assert heard.outcome.event == moved.events[0]

    @pytest.mark.parametrize("number", FULL)
    def test_a_rollback_goes_ahead_without_record_and_says_so(
        self, moved: Target, number: int
    ) -> None:
        heard = Heard()
        fs = Full(moved.fs, number)
        changes.carry_out(fs, moved.layout, Rollback(), ADA, heard, lock_timeout=0)
        assert (41, 1, False) == (moved.served, len(moved.events), moved.is_noted)
        (warning,) = heard.warnings
        assert "rollback is not in history" in warning
        assert 41 == heard.outcome.after.served.deployment  # type: ignore[union-attr]

    def test_it_goes_further_back_all_the_same(self, moved: Target) -> None:
        """Without records of the way, as if the links had been moved by hand."""
        moved.carry_out(Rollback())
        moved.deploy(43)
        moved.carry_out(Promotion())
        fs = Full(moved.fs, errno.ENOSPC)
        changes.carry_out(fs, moved.layout, Rollback(), ADA, Heard(), lock_timeout=0)
        assert 41 == moved.served
        with pytest.raises(Guarded, match="rolled back"):
            moved.carry_out(Promotion())

    def test_noted_but_not_recorded_is_over_as_well(self, moved: Target) -> None:
        heard = moved.fail(Rollback(), "write", moved.layout.history, errno.ENOSPC)
        assert (41, False) == (moved.served, moved.is_noted)
        assert 1 == len(heard.warnings)

    def test_a_rollback_of_more_than_one_step_is_refused(self, moved: Target) -> None:
        moved.deploy(43)
        before = inodes(moved)
        with pytest.raises(ChangeFailed):
            moved.fail(Rollback(), "write", temporary(moved.layout.intent), errno.ENOSPC)
        assert (before, 1, False) == (inodes(moved), len(moved.events), moved.is_noted)

    def test_without_exchange_it_is_refused(self) -> None:
        """Foretold or not: two renamings are never without a note."""
        fs, target = in_memory()
        target.carry_out(Promotion())
        fs.exchanges = False
        before = inodes(target)
        with pytest.raises(ChangeFailed, match="No space left"):
            target.fail(Rollback(), "write", temporary(target.layout.intent), errno.ENOSPC)
        assert (before, 1) == (inodes(target), len(target.events))

    def test_any_other_error_is_no_full_disk(self, moved: Target) -> None:
        with pytest.raises(ChangeFailed):
            moved.fail(Rollback(), "write", temporary(moved.layout.intent), errno.EIO)
        assert 42 == moved.served

    def test_a_promotion_that_could_not_be_recorded_stays_noted(self, new: Target) -> None:
        with pytest.raises(ChangeUnfinished, match="done, not yet in history"):
            new.fail(Promotion(), "write", new.layout.history, errno.ENOSPC, Effect.TORN)
        assert (42, [], True) == (new.served, new.events, new.is_noted)
        new.carry_out(Promotion())
        assert (42, 1, False) == (new.served, len(new.events), new.is_noted)

    def test_a_promotion_that_could_not_be_recorded_can_be_rolled_back(self, new: Target) -> None:
        with pytest.raises(ChangeUnfinished):
            new.fail(Promotion(), "write", new.layout.history, errno.ENOSPC)
        heard = Heard()
        fs = Full(new.fs, errno.ENOSPC)
        changes.carry_out(fs, new.layout, Rollback(), ADA, heard, lock_timeout=0)
        assert (41, [], False) == (new.served, new.events, new.is_noted)
        assert ["promotion", "rollback"] == [warning.split()[1] for warning in heard.warnings]

    def test_an_unrecorded_rollback_that_is_not_durable_asks_nobody_to_type_it_again(
        self, moved: Target
    ) -> None:
        fs = Failing(
            Full(moved.fs, errno.ENOSPC),
            "sync",
            moved.layout.infrastructure,
            errno.EIO,
            Effect.NONE,
        )
        with pytest.raises(TierctlError, match="not yet durable") as caught:
            changes.carry_out(fs, moved.layout, Rollback(), ADA, Heard(), lock_timeout=0)
        assert "tierctl status" in caught.value.hint


class Full(FaultyFileSystem):
    """A filesystem on which no file can be written."""

    def __init__(self, inner: FileSystem, number: int) -> None:
        super().__init__(inner, Fault(0))
        self.number = number

    def write(self, path: str, *_: object, **__: object) -> None:
        raise OSError(self.number, "full", path)


class TestErrors:
    @pytest.mark.parametrize("number", [errno.EIO, errno.EINTR])
    def test_an_exchange_that_was_carried_out_is_no_failure_whatever_it_reports(
        self, new: Target, number: int
    ) -> None:
        path = new.layout.within("production")
        heard = new.fail(Promotion(), "exchange", path, number, Effect.WHOLE)
        assert (42, 1, []) == (new.served, len(new.events), heard.warnings)

    def test_nor_when_it_finishes_an_interrupted_change(self, new: Target) -> None:
        path = new.layout.within("production")
        new.kill(Promotion(), "exchange", path)
        new.fail(Promotion(), "exchange", path, errno.EINTR, Effect.WHOLE)
        assert (42, 1) == (new.served, len(new.events))

    @pytest.mark.parametrize("number", [errno.EIO, errno.EINTR])
    def test_an_exchange_that_failed_has_changed_nothing(self, new: Target, number: int) -> None:
        before = inodes(new)
        with pytest.raises(ChangeFailed):
            new.fail(Promotion(), "exchange", new.layout.within("production"), number)
        assert (before, [], False) == (inodes(new), new.events, new.is_noted)

    def test_a_color_is_back_where_it_was_if_the_tiers_cannot_move(self, moved: Target) -> None:
        moved.deploy(43)
        with pytest.raises(ChangeFailed):
            moved.fail(Rollback(), "exchange", moved.layout.within("production"), errno.EIO)
        assert (42, Content.of_deployment(43)) == (moved.served, moved.state.staged)

    def test_links_that_cannot_be_flushed_stay_noted_until_the_next_command_ends_it(
        self, new: Target
    ) -> None:
        new.carry_out(Promotion(to=Color.GREEN))  # makes .tierctl
        with pytest.raises(ChangeUnfinished, match="switched, not yet durable") as caught:
            new.fail(Promotion(), "sync", new.layout.infrastructure, errno.EIO)
        assert "type the command again" in caught.value.hint
        assert (42, [], True) == (new.served, new.events, new.is_noted)
        new.carry_out(Promotion())
        assert (42, 1, False) == (new.served, len(new.events), new.is_noted)

    def test_a_note_that_cannot_be_removed_is_a_warning(self, new: Target) -> None:
        heard = new.fail(Promotion(), "remove", new.layout.intent, errno.EIO)
        assert 42 == heard.outcome.after.served.deployment  # type: ignore[union-attr]
        (warning,) = heard.warnings
        assert "The next change removes it" in warning

    @pytest.mark.parametrize("request_", [Promotion(), Rollback(to=42)])
    def test_what_cannot_be_read_is_told_with_the_path(
        self, new: Target, request_: Request
    ) -> None:
        path = new.layout.within("staging")
        with pytest.raises(ChangeFailed, match="staging"):
            new.fail(request_, "read_link", path, errno.EIO)

    def test_who_may_not_write_is_told_before_anything_is_made(self, plain: Target) -> None:
        closed = plain._replace(fs=Closed(plain.fs, Fault(0)))
        for attempt in (closed.preview, closed.carry_out):
            with pytest.raises(NotWritable):
                attempt(Promotion())
        assert not exists(plain.fs, plain.layout.control)


class Closed(FaultyFileSystem):
    """A filesystem on which the caller may not write."""

    def is_writable(self, path: str) -> bool:
        return False


class TestReport:
    def test_it_comes_when_all_is_durable_and_before_the_note_is_removed(self) -> None:
        fs, target = in_memory()
        found: list[object] = []

        def look() -> None:
            fs.cut_power()
            found.extend((target.served, len(target.events), target.is_noted))

        changes.carry_out(fs, target.layout, Promotion(), ADA, Heard(look), lock_timeout=0)
        assert [42, 1, True] == found

    def test_so_it_does_where_an_interrupted_change_is_finished(self, new: Target) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        found: list[object] = []

        def look() -> None:
            found.extend((new.served, len(new.events), new.is_noted))

        changes.carry_out(new.fs, new.layout, Promotion(), ADA, Heard(look), lock_timeout=0)
        assert [42, 1, True] == found

    def test_an_error_of_the_listener_is_not_taken_for_one_of_the_change(self, new: Target) -> None:
        def fail() -> None:
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            changes.carry_out(new.fs, new.layout, Promotion(), ADA, Heard(fail), lock_timeout=0)
        assert (42, 1) == (new.served, len(new.events))


class TestLock:
    def test_who_holds_it_is_named(self, new: Target) -> None:
        found: list[TierctlError] = []

        def meanwhile() -> None:
            with pytest.raises(Locked) as caught:
                new.carry_out(Promotion(), author=BOB)
            found.append(caught.value)

        changes.carry_out(new.fs, new.layout, Promotion(), ADA, Heard(meanwhile), lock_timeout=0)
        (error,) = found
        assert "ada on lab (promotion" in error.message
        assert "--lock-timeout" in error.hint
        assert (42, 1) == (new.served, len(new.events))

    def test_a_preview_does_not_wait_for_it(self, new: Target) -> None:
        heard = Heard(lambda: new.preview(Rollback()))
        changes.carry_out(new.fs, new.layout, Promotion(), ADA, heard, lock_timeout=0)
        assert 42 == new.served


class TestPreview:
    @pytest.mark.parametrize("links", [{}, {"blue": 42, "green": 41}, {"production": None}])
    @pytest.mark.parametrize("promotions", [0, 1, 2])
    @pytest.mark.parametrize("request_", [Promotion(force=True), Rollback(), Rollback(to=42)])
    def test_it_tells_what_carry_out_does_or_raises_what_it_raises(
        self, make: Make, links: dict[str, int], promotions: int, request_: Request
    ) -> None:
        target = make(**links)
        for number in range(43, 43 + promotions):
            target.carry_out(Promotion())
            if links.get("blue"):
                target.deploy(number)
        assert told(target.preview, request_) == told(target.carry_out, request_)

    @pytest.mark.parametrize("request_", [Promotion(), Promotion(force=True), Rollback()])
    @pytest.mark.parametrize("effect", [Effect.NONE, Effect.WHOLE], ids=["before", "after"])
    @pytest.mark.parametrize("again", [False, True])
    def test_so_it_does_when_an_interrupted_change_is_waiting(
        self, new: Target, request_: Request, effect: Effect, again: bool
    ) -> None:
        path = new.layout.within("production")
        new.kill(Promotion(), "exchange", path, effect)
        if again:
            new.kill(Promotion(), "remove", new.layout.intent)
        assert told(new.preview, request_) == told(new.carry_out, request_)

    def test_without_exchange_it_foretells_that_too(self) -> None:
        _, target = in_memory(exchanges=False)
        assert told(target.preview, Promotion()) == told(target.carry_out, Promotion())

    @pytest.mark.parametrize("waiting", [False, True])
    @pytest.mark.parametrize("request_", [Promotion(), Promotion(to=Color.GREEN), Rollback()])
    def test_it_writes_nothing_at_all(
        self, tmp_path: Path, request_: Request, waiting: bool
    ) -> None:
        place = place_on("real", tmp_path)
        target = Target(place.fs, make_target(place.root, blue=42, green=41))
        if waiting:
            target.kill(Promotion(), "exchange", target.layout.within("production"))
        before = listing(tmp_path), tmp_path.stat().st_mtime_ns
        told(target.preview, request_)
        assert before == (listing(tmp_path), tmp_path.stat().st_mtime_ns)
        assert waiting is exists(target.fs, target.layout.lock)

    def test_records_that_are_elsewhere_are_refused_as_by_carry_out(self, new: Target) -> None:
        new.fs.make_directory(new.layout.within("elsewhere"), 0o755)
        new.fs.make_link(new.layout.control, "elsewhere")
        for attempt in (new.carry_out, new.preview):
            with pytest.raises(Untrusted):
                attempt(Promotion())

    def test_it_uses_no_verb_that_changes_anything(self, new: Target) -> None:
        fs = FaultyFileSystem(new.fs, Fault(0))
        changes.preview(fs, new.layout, Promotion(), ADA, Heard())
        asking = {"entry", "read_link", "names", "read"}
        assert {operation.verb for operation in fs.trace} <= asking


def told(attempt: Callable[[Request], Heard], request: Request) -> list[object]:
    """Return what was told or raised, without what differs between any two events."""
    try:
        heard = attempt(request).told
    except TierctlError as error:
        return [type(error), error.message, error.hint]
    return [
        each._replace(event=each.event and without_id(each.event))
        if isinstance(each, Outcome)
        else without_id(each)
        if isinstance(each, Event)
        else each
        for each in heard
    ]


def without_id(event: Event) -> Event:
    return event._replace(id="", time="")


class TestMadeByHand:
    def test_records_appear_when_they_are_first_needed(self, plain: Target) -> None:
        assert not exists(plain.fs, plain.layout.control)
        plain.preview(Promotion())
        assert not exists(plain.fs, plain.layout.control)
        plain.carry_out(Promotion())
        assert 1 == len(plain.events)

    @pytest.mark.parametrize("spelling", ["green", "./green", "green/", "{}/green"])
    def test_links_may_be_spelled_in_any_way(self, make: Make, spelling: str) -> None:
        target = make()
        target.point("production", spelling.format(target.layout.infrastructure))
        target.carry_out(Promotion())
        assert promoted(PLAIN) == target.state


def test_an_intent_is_written_before_the_first_step(new: Target) -> None:
    new.kill(Promotion(), "exchange", new.layout.within("production"))
    event = intent.read(new.fs, new.layout)
    assert event is not None
    assert (new.state, promoted(new.state)) == (event.before, event.after)
