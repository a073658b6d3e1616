"""Lives of targets: machines of hypothesis that type anything and compare with the model."""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from living import InMemory, OnDisk, Target, on_memory
from model import Ask, Command, Deploy, Model, Promote, Prune, Refusal, RollBack
from observed import BEGINNINGS, first_model, model_of, picture
from program import Ended
from tierctl.layout import Layout
from wounds import DAMAGES, Damage, hurt

COLORS = st.sampled_from(["blue", "green"])
TIERS = st.sampled_from(["staging", "staging", "blue", "green", "production", "dev1", "test.x"])
NUMBERS = st.integers(1, 12)
PROMOTIONS = st.builds(Promote, st.none() | COLORS, st.booleans())
ROLLBACKS = st.builds(RollBack, st.none() | NUMBERS)
DEPLOYS = st.builds(Deploy, TIERS, st.integers(1, 3), st.booleans())
REBUILDS = st.builds(Deploy, TIERS, st.just(1), st.just(True))
PRUNES = st.builds(Prune, st.integers(0, 3), st.booleans())
QUESTIONS = st.sampled_from(
    [
        Ask(words)
        for words in (
            ["status"],
            ["status", "--json"],
            ["history"],
            ["history", "--json", "--limit", "3"],
            ["diff"],
            ["diff", "staging", "dev1"],
            ["doctor"],
            ["doctor", "--fix"],
        )
    ]
)


Everything = dict[str, tuple[object, ...]]


class Life(RuleBasedStateMachine):
    """A target, and the model of it."""

    target: Target
    model: Model

    @initialize(beginning=st.sampled_from(sorted(BEGINNINGS)), exchanges=st.booleans())
    def begin(self, beginning: str, exchanges: bool) -> None:
        self.target = self.made(beginning, exchanges)
        self.model = first_model(beginning)

    def made(self, beginning: str, exchanges: bool) -> Target:
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
    def made(self, beginning: str, exchanges: bool) -> Target:
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

    def made(self, beginning: str, exchanges: bool) -> Target:
        return OnDisk(self.place, beginning)

    @rule(command=DEPLOYS | PRUNES, dry=st.booleans())
    def build_or_prune(self, command: Command, dry: bool) -> None:
        self.obeys(command, dry=dry)

    @rule(question=QUESTIONS)
    def ask(self, question: Ask) -> None:
        before = self.target.everything()
        ended = self.target.run(question)
        assert ended.code in (0, 1), ended
        assert "defect of tierctl" not in ended.err
        assert before == self.target.everything()

    @invariant()
    def no_deployment_is_altered(self) -> None:
        there = self.target.everything()
        for number in self.model.built:
            build = below(there, f"{self.target.layout.deployments}/{number}")
            assert build == self.built.setdefault(number, build)


class Hurt(LifeOnDisk):
    """A target that things happen to; see ``survives`` for what holds meanwhile."""

    uid: int | None = None

    def made(self, beginning: str, exchanges: bool) -> Target:
        self.aside = self.place / "aside"
        self.aside.mkdir()
        return OnDisk(self.place, beginning, self.uid)

    @rule(
        damage=DAMAGES,
        commands=st.lists(
            st.tuples(PROMOTIONS | ROLLBACKS | DEPLOYS | PRUNES | QUESTIONS, st.booleans()),
            min_size=1,
            max_size=4,
        ),
    )
    def live_through(self, damage: Damage, commands: list[tuple[Command, bool]]) -> None:
        mend = hurt(damage, Path(self.target.layout.infrastructure), self.aside)
        moved = [self.survives(command, dry=dry) for command, dry in commands]
        mend()
        ended = self.target.run(Ask(["doctor", "--fix"]))
        require_an_answer(ended)
        if any(moved):
            self.model = model_of(self.target.fs, self.target.layout)
            self.built.clear()

    def survives(self, command: Command, *, dry: bool) -> bool:
        """Run a command in a target that is damaged; say whether it has changed something.

        It ends with 0, or with 1 and a reason. If it fails, or is a dry run,
        nothing is changed but what is no state: locks, who holds them, caches,
        deployments that no tier shows. If it succeeds, history says what the
        links show. What a link showed is there, and as it was.
        """
        before, shown = self.target.everything(), self.target.shown()
        dry = dry and not (isinstance(command, Ask) and command.words[0] != "doctor")
        ended = self.target.run(command, dry=dry)
        require_an_answer(ended)
        after = self.target.everything()
        for number in shown:
            assert below(before, number) == below(after, number), (number, ended)
        if dry:
            assert before == after, ended
            return False
        old, new = state(before, self.target.layout), state(after, self.target.layout)
        if ended.code == 1 and isinstance(command, Deploy):  # it may have been built all the same
            built = new.keys() - old.keys()
            assert all(path.startswith(self.target.layout.deployments) for path in built)
            new = {path: facts for path, facts in new.items() if path not in built}
        if ended.code == 1 and not isinstance(command, Ask):
            assert old == new, ended
        return not isinstance(command, Ask) and old != state(after, self.target.layout)


def require_an_answer(ended: Ended) -> None:
    assert ended.code in (0, 1), ended
    assert "defect of tierctl" not in ended.err, ended
    assert "Traceback" not in ended.out + ended.err, ended
    assert ended.code == 0 or ended.out + ended.err


def state(everything: Everything, layout: Layout) -> Everything:
    """Return what a command that fails leaves as it is."""
    records = (layout.history, layout.intent, layout.config)
    found = {}
    for path, facts in everything.items():
        build = path.removeprefix(f"{layout.deployments}/").partition("/")[0]
        if path.startswith(f"{layout.deployments}/"):
            counts = f"{layout.deployments}/{build}/meta/deployment.json" in everything
        elif path.startswith(layout.control):
            counts = path in records
        else:
            counts = not path.startswith(layout.cache)
        if counts:
            found[path] = facts
    return found


def below(found: Everything, directory: str) -> Everything:
    return {path: facts for path, facts in found.items() if f"{path}/".startswith(f"{directory}/")}


class HurtAsUser(Hurt):
    """The same for somebody whom permissions keep out."""

    uid = 1234
