"""Any commands in any order: what is there is what a few lines say that it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from model.expected import Command
from model.living import deploying_files_only, import_everything
from model.machines import TYPED, Hurt, HurtAsUser, Life, LifeInMemory, LifeOnDisk
from model.wounds import Closed
from thorough import THOROUGH, times
from tierctl.change import change
from tierctl.change.requests import Rollback
from tierctl.errors import TierctlError
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem
from tierctl.prune import pruning
from tierctl.rotation.names import PRIVATE
from tierctl.rotation.state import Content
from tierctl.rotation.trail import Past
from tierctl.target import links
from tierctl.target.target import Target
from tools import require_root

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module", autouse=True)
def only_files() -> Iterator[None]:
    """No deploy starts a program, and nothing is left to be imported."""
    with deploying_files_only():
        import_everything()
        yield


def run(machine: type[Life], examples: int, steps: int, *, shrinking: bool = True) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=not THOROUGH,
            phases=[Phase.generate, *([Phase.shrink] if shrinking else [])],
            report_multiple_bugs=False,
        ),
    )


def test_in_memory_commands_do_what_the_model_says() -> None:
    run(LifeInMemory, times(40, 2_000), 40)


def test_on_disk_commands_do_what_the_model_says() -> None:
    run(LifeOnDisk, times(20, 500), 25)


@pytest.mark.parametrize("machine", [Hurt, HurtAsUser])
def test_whatever_happens_to_a_target_it_can_be_mended(machine: type[Hurt]) -> None:
    if machine.uid is not None:
        require_root()
    run(machine, times(15, 500), 15)


# Broken variants


def going_back_too_far(patch: Patch) -> None:
    def destination(self: Rollback, past: Past) -> Content:
        return found(self, past._replace(trail=past.trail[1:] or past.trail))

    found = Rollback._destination
    patch.setattr(Rollback, "_destination", destination)


def forgetting_events(patch: Patch) -> None:
    patch.setattr(change, "record", lambda *of, **how: None)


def writing_when_dry(patch: Patch) -> None:
    def preview(target: Target, *of: object) -> None:
        target.fs.make_link(target.within(".left"), "over")
        looked(target, *of)

    looked: Callable[..., None] = change.preview
    patch.setattr(change, "preview", preview)


def pruning_private_tiers(patch: Patch) -> None:
    def shown(target: Target, numbers: Iterable[int]) -> dict[int, str]:
        found = all_shown(target, numbers)
        return {number: tier for number, tier in found.items() if not tier.startswith(PRIVATE)}

    all_shown = pruning._shown
    patch.setattr(pruning, "_shown", shown)


def failing_half_way(patch: Patch) -> None:
    def decide(target: Target, *of: object) -> object:
        try:
            return decided(target, *of)
        except TierctlError:
            target.fs.make_link(target.within("dev1"), "blue")
            raise

    decided: Callable[..., object] = change._decide
    patch.setattr(change, "_decide", decide)


def stumbling_over_links(patch: Patch) -> None:
    def validate(path: str, fs: FileSystem) -> None:
        raise ValueError(path)

    patch.setattr(links, "validate_symlink_target", validate)


class KeptOut(HurtAsUser):
    """Somebody who may not write history is among what happens, and often."""

    @rule(commands=st.lists(TYPED, min_size=1, max_size=4))
    def keep_out(self, commands: list[tuple[Command, bool]]) -> None:
        self.live_through(Closed(".tierctl/history.jsonl", 0o444), commands)


def not_heeding_permissions(patch: Patch) -> None:
    patch.setattr(OsFileSystem, "is_writable", lambda self, path: True)


BROKEN: list[tuple[Callable[[Patch], None], type[Life]]] = [
    (going_back_too_far, LifeInMemory),
    (forgetting_events, LifeInMemory),
    (writing_when_dry, LifeInMemory),
    (pruning_private_tiers, LifeOnDisk),
    (failing_half_way, Hurt),
    (stumbling_over_links, Hurt),
    (not_heeding_permissions, KeptOut),
]


@pytest.mark.parametrize(("broken", "machine"), BROKEN)
def test_what_is_broken_is_found(
    monkeypatch: Patch, broken: Callable[[Patch], None], machine: type[Life]
) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        run(machine, 200, 40, shrinking=False)
