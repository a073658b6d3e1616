"""Lives of targets: machines of hypothesis that type anything and compare with the model."""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from model.expected import Ask, Command, Deploy, Model, Promote, Prune, Refusal, RollBack
from model.living import InMemory, OnDisk, Runner
from model.observed import (
    BEGINNINGS,
    Everything,
    below,
    first_model,
    line_of,
    model_of,
    picture,
    shown_by,
    state,
)
from model.wounds import DAMAGES, HISTORY, LINKS, Damage, hurt
from places import on_memory
from program import Ended
from tierctl.journal import history
from tierctl.rotation.names import DEPLOYMENTS
from tierctl.target.target import Target

COLORS = st.sampled_from(["blue", "green"])
TIERS = st.sampled_from(["staging", "staging", "blue", "green", "production", "dev1", "test.x"])
NUMBERS = st.integers(1, 12)
PROMOTIONS = st.builds(Promote, st.none() | COLORS, st.booleans())
ROLLBACKS = st.builds(RollBack, st.none() | NUMBERS)
DEPLOYS = st.builds(Deploy, TIERS, st.integers(1, 3), st.booleans())
REBUILDS = st.builds(Deploy, TIERS, st.just(1), st.just(True))
PRUNES = st.builds(Prune, st.integers(0, 3), st.booleans())
QUESTIONS = st.sampled_from([Ask(["status"]), Ask(["doctor"]), Ask(["doctor", "--fix"])])
MORE_QUESTIONS = QUESTIONS | st.sampled_from(
    [
        Ask(["status", "--json"]),
        Ask(["history"]),
        Ask(["history", "--json", "--limit", "3"]),
        Ask(["diff"]),
        Ask(["diff", "staging", "dev1"]),
        Ask(["bootstrap"]),
    ]
)

CHANGES = PROMOTIONS | ROLLBACKS | DEPLOYS | PRUNES
# With --dry-run, or without.
TYPED = st.tuples(CHANGES, st.booleans()) | st.tuples(MORE_QUESTIONS, st.just(False))


class Life(RuleBasedStateMachine):
    """A target, and the model of it."""

    target: Runner
    model: Model

    @initialize(beginning=st.sampled_from(sorted(BEGINNINGS)), exchanges=st.booleans())
    def begin(self, beginning: str, exchanges: bool) -> None:
        self.target = self.made(beginning, exchanges)
        self.model = first_model(beginning)

    def made(self, beginning: str, exchanges: bool) -> Runner:
        raise NotImplementedError

    @rule(command=PROMOTIONS | ROLLBACKS | REBUILDS)
    def change(self, command: Command) -> None:
        self.obeys(command)

    @rule(command=PROMOTIONS | ROLLBACKS | REBUILDS)
    def would_change(self, command: Command) -> None:
        self.obeys(command, dry=True)

    @rule(color=COLORS, data=st.data())
    def somebody_moves_a_color(self, color: str, data: st.DataObject) -> None:
        if isinstance(self.model.shows[color], int):
            number = data.draw(st.sampled_from(sorted(self.model.built)))
            path = self.target.layout.within(color)
            self.target.fs.remove(path)
            self.target.fs.make_link(path, f"deployments/{number}")
            self.model.point(color, number)

    @rule(question=QUESTIONS)
    def ask(self, question: Ask) -> None:
        self.answers(question)

    def answers(self, question: Ask) -> None:
        before = self.target.everything()
        require_an_answer(self.target.run(question))
        assert before == self.target.everything()

    def obeys(self, command: Command, *, dry: bool = False) -> None:
        wanted, refused = deepcopy(self.model), False
        try:
            command.on(wanted)
        except Refusal:
            wanted, refused = self.model, True
        before = self.target.everything()
        ended = self.target.run(command, dry=dry)
        assert int(refused) == ended.code, ended
        assert not refused or ended.err
        if dry:
            assert before == self.target.everything()
        else:
            self.model = wanted

    @invariant()
    def it_is_as_it_should_be(self) -> None:
        assert self.model.picture == picture(self.target.fs, self.target.layout)


class LifeInMemory(Life):
    def made(self, beginning: str, exchanges: bool) -> Runner:
        return InMemory(beginning, exchanges=exchanges)


class LifeOnDisk(Life):
    """Also with what there is on disk alone."""

    target: OnDisk

    def __init__(self) -> None:
        super().__init__()
        self.held = ExitStack()
        self.place = self.held.enter_context(on_memory())
        self.built: dict[int, Everything] = {}

    def teardown(self) -> None:
        self.held.close()

    def made(self, beginning: str, exchanges: bool) -> Runner:
        return OnDisk(self.place, beginning)

    @rule(command=DEPLOYS | PRUNES, dry=st.booleans())
    def build_or_prune(self, command: Command, dry: bool) -> None:
        self.obeys(command, dry=dry)

    @rule(question=MORE_QUESTIONS)
    def ask_more(self, question: Ask) -> None:
        self.answers(question)

    @invariant()
    def no_deployment_is_altered(self) -> None:
        there = self.target.everything()
        for number in self.model.built:
            build = below(there, f"{self.target.layout.deployments}/{number}")
            assert build == self.built.setdefault(number, build)


class Hurt(LifeOnDisk):
    """A target that things happen to; see ``survives`` for what holds meanwhile."""

    uid: int | None = None

    def made(self, beginning: str, exchanges: bool) -> Runner:
        self.aside = self.place / "aside"
        self.aside.mkdir()
        return OnDisk(self.place, beginning, self.uid)

    @rule(damage=DAMAGES, commands=st.lists(TYPED, min_size=1, max_size=4))
    def live_through(self, damage: Damage, commands: list[tuple[Command, bool]]) -> None:
        """Have damage done, type commands, undo the damage, and let doctor repair the rest.

        If no command has changed anything then, all is as it was. Otherwise the
        model goes on from there; so it does where doctor has cut off all that
        was left of history.
        """
        mend = hurt(damage, Path(self.target.layout.infrastructure), self.aside)
        foretold = damage.name in LINKS
        moved = [self.survives(command, dry=dry, foretold=foretold) for command, dry in commands]
        mend()
        require_an_answer(self.target.run(Ask(["doctor", "--fix"])))
        fs, layout = self.target.fs, self.target.layout
        is_cut = damage.name == HISTORY and history.newest(Target(fs, layout)) is None
        if any(moved) or is_cut:
            self.model = model_of(fs, layout)
            self.built.clear()

    def survives(self, command: Command, *, dry: bool, foretold: bool) -> bool:
        """Run a command in a target that is damaged; say whether it has changed something.

        It ends with 0, or with 1 and a reason. What a link shows stays there,
        as it is. A dry run writes nothing; a command that fails changes no link,
        no record of what was done, no deployment. After one that succeeds
        history says what the links show. ``foretold``: it ends as its dry run does.
        """
        foretold = foretold and not dry and not isinstance(command, Ask)
        codes = [self.target.run(command, dry=True).code] if foretold else []
        before, shown = self.target.everything(), self.target.shown()
        ended = self.target.run(command, dry=dry)
        assert codes in ([], [ended.code]), ended
        require_an_answer(ended)
        after = self.target.everything()
        for directory in shown:
            assert below(before, directory) == below(after, directory), ended
        if dry:
            assert before == after, ended
            return False
        old, new = (
            state(before, self.target.layout),
            state(after, self.target.layout),
        )
        if ended.code == 1 or isinstance(command, Ask):
            require_unchanged(command, old, new)
        else:
            self.require_recorded(old, new)
        return old != new and not isinstance(command, Ask)

    def require_recorded(self, old: Everything, new: Everything) -> None:
        fs, layout = self.target.fs, self.target.layout
        changed = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
        if layout.history in changed:
            newest = history.newest(Target(fs, layout))
            assert newest is not None
            said = line_of(newest.after)
            assert said == {name: shown_by(fs, layout, name) for name in said}
        else:  # a prune, or nothing to do
            assert all(path.startswith(layout.deployments) for path in changed)


class HurtAsUser(Hurt):
    """The same for somebody whom permissions keep out."""

    uid = 1234


def require_unchanged(command: Command, old: Everything, new: Everything) -> None:
    """A repair may change something, and a deploy may have built what no tier shows."""
    if isinstance(command, Deploy):
        new = {
            path: facts
            for path, facts in new.items()
            if path in old or f"/{DEPLOYMENTS}" not in path
        }
    if not (isinstance(command, Ask) and "--fix" in command.words):
        assert old == new


def require_an_answer(ended: Ended) -> None:
    assert ended.code in (0, 1), ended
    assert "defect of tierctl" not in ended.err, ended
    assert "Traceback" not in ended.out + ended.err, ended
    assert ended.code == 0 or ended.out + ended.err
