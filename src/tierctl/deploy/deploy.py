"""A deploy, from definitions to a tier that shows them: all of it, or nothing.

The build does not hold the target's lock, only its own number; the tier is
looked at again when the lock is taken for the switch.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from tierctl.change import adopt, change, ending
from tierctl.deploy import (
    cachelock,
    definitions,
    numbering,
    ownership,
    plans,
    room,
    unchanged,
)
from tierctl.deploy.definitions import Definitions
from tierctl.deploy.engine.client import Engine, Verified
from tierctl.deploy.engine.failures import Incomplete, NotBuilt
from tierctl.deploy.engine.progress import Step
from tierctl.deploy.plans import Plan
from tierctl.deploy.switch import Deployment, link_to_deploy, not_a_link
from tierctl.deploy.unchanged import Shown
from tierctl.deploy.wanted import Build
from tierctl.errors import (
    ChangeUnfinished,
    NoSuchTier,
    NotWritable,
    Refused,
    TierctlError,
    cause_of,
)
from tierctl.fs import mounts
from tierctl.fs.protocol import exists
from tierctl.journal import freshness, history, intent, store
from tierctl.journal.events import Event, EventKind
from tierctl.report import compare, loadable
from tierctl.rotation.names import (
    DEPLOYMENTS,
    HIGHEST_NUMBER,
    LINKS,
    REPODATA,
    WHEELS,
    is_private_name,
)
from tierctl.rotation.state import Color, Content, State
from tierctl.target import tiers
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.target.validators import validate_rotation, validate_target_characters
from tierctl.text import shown, typed


@dataclass(frozen=True)
class Wish:
    """What is to be deployed, and how.

    ``directory`` holds the definitions; ``subdir`` is conda's word for the
    platform; ``rebuild`` builds also what the tier shows already; ``like`` is a
    tier or deployment whose locks are followed instead of solving.
    """

    tier: str
    directory: str
    subdir: str
    rebuild: bool = False
    like: str | None = None


class Seen(NamedTuple):
    """What a deploy found when it began: the links, and what the tier showed, if it was there."""

    state: State
    content: Content | None

    @property
    def contents(self) -> tuple[Content | None, ...]:
        """All that the tier could show without another deploy: a promotion exchanges colors."""
        return self.content, self.state.blue, self.state.green


class Reporter(ending.Reporter, Protocol):
    """Who is told how a deploy goes."""

    def begun(self, step: Step, what: str) -> None:
        """Hear which step begins, and with what."""
        ...

    def unchanged(self, seen: Seen) -> None:
        """Hear that the tier shows just that already, so that nothing is built."""
        ...

    def planned(self, number: int | None, plan: Plan) -> None:
        """Hear what will be built."""
        ...


def deploy(
    target: Target,
    wish: Wish,
    run: Engine,
    author: Author,
    reporter: Reporter,
    *,
    lock_timeout: float,
) -> None:
    """Build a deployment and point a tier to it; raises a ``TierctlError`` with the reason."""
    change.finish_interrupted(target, EventKind.DEPLOY, author, reporter, lock_timeout=lock_timeout)
    seen = look_at(target, wish.tier)
    numbering.remove_unfinished(target, lock_timeout=lock_timeout)
    _require_cache(target)
    with cachelock.shared(target, lock_timeout):
        _deploy(target, wish, run, author, reporter, seen, lock_timeout=lock_timeout)


def _deploy(
    target: Target,
    wish: Wish,
    run: Engine,
    author: Author,
    reporter: Reporter,
    seen: Seen,
    *,
    lock_timeout: float,
) -> None:
    """Deploy what the tier does not show already; nobody removes packages meanwhile.

    The number is taken first: the kernel keeps the engine to its directory from the start on.
    """
    taken = numbering.reserved(
        target, lock_timeout=lock_timeout, spare=not is_private_name(wish.tier)
    )
    # The engine ends first: it must not write on where a build that failed is being removed.
    with taken as (number, spare), closing(run):
        run.keep_to(target.within(f"{DEPLOYMENTS}/{number}"))
        there = unchanged.Shown(target, None if wish.rebuild else seen.content)
        wanted = _prepare(target, wish, author, run, reporter, there)
        if _is_there(there, wanted, reporter) and _is_as_seen(target, wish.tier, seen):
            run.dismiss()
            _tell_unchanged(target, seen, reporter)
            return
        room.require(target, wanted)
        reporter.planned(number, plans.against(target, seen.content, wanted))
        built = _build(target, number, wanted, run, reporter)
        for warning in built.warnings:
            reporter.warn(warning)
        request = Deployment(wish.tier, number, spare, built.manifest)
        watching = _Watching(reporter, wish.tier, number, seen)
        try:
            change.carry_out(target, request, author, watching, lock_timeout=lock_timeout)
        except ChangeUnfinished:
            raise
        except TierctlError:
            reporter.warn(_what_becomes_of(target, number))
            raise


def _build(target: Target, number: int, wanted: Build, run: Engine, reporter: Reporter) -> Verified:
    """Build a deployment; raises a ``TierctlError`` with the reason."""
    from tierctl.deploy import build  # while the engine looks into its cache

    try:
        return build.build(target, number, wanted, run, reporter.begun)
    except Incomplete as error:
        _remove_cached(target, wanted, error.damaged)
        raise
    except OSError as error:
        raise NotBuilt(error) from error


def _remove_cached(layout: Layout, wanted: Build, damaged: Collection[str]) -> None:
    """Have the next deploy fetch anew, of what was wanted, the packages that are not whole.

    Another deploy may link one of them now: it is only noted no longer that it is whole.
    """
    from tierctl.deploy.engine.worker import notes  # which nearly no deploy needs here

    for package in {each for packages in wanted.packages.values() for each in packages}:
        if package.channel and package.name_in_cache in damaged:
            with suppress(OSError):  # another member's; why the deploy fails is told in any case
                notes.clear(f"{layout.cache}/{package.name_in_cache}")


def _what_becomes_of(target: Target, number: int) -> str:
    """Return what to say of a finished deployment after the switch to it has failed."""
    try:
        freshness.refresh_by_reading(target)
        showing = tiers.showing(target, Content.of_deployment(number))
    except OSError as error:
        return f"deployment {number} is finished; what shows it cannot be seen: {cause_of(error)}"
    if showing:
        return f"deployment {number} is finished, and shown by {shown(', '.join(showing))} now"
    return f"deployment {number} is finished, but no tier shows it; prune removes it"


def preview(
    target: Target,
    wish: Wish,
    run: Engine,
    author: Author,
    reporter: Reporter,
) -> None:
    """Report what ``deploy`` would do, or raise as it would; the engine has a scratch cache."""
    numbering.require_writable(target)
    intent.read(target)
    seen = look_at(target, wish.tier)
    there = unchanged.Shown(target, None if wish.rebuild else seen.content)
    wanted = _prepare(target, wish, author, run, reporter, there)
    if _is_there(there, wanted, reporter):
        _tell_unchanged(target, seen, reporter)
        return
    room.require(target, wanted)
    plan = plans.against(target, seen.content, wanted)
    foreseen = run.foresee(target.cache)
    for warning in foreseen.warnings:
        reporter.warn(warning)
    collisions = plans.collisions(wanted, foreseen.commands)
    reporter.planned(None, plan._replace(collisions=collisions))


def look_at(target: Target, tier: str) -> Seen:
    """Return what a tier shows now.

    Raises ``NoSuchTier`` for a name that none can have, ``Refused`` for what
    production serves, ``SameColor`` where staging shows that too, and
    ``InvalidLink`` in a target that was moved or copied.
    """
    if tier not in LINKS and not is_private_name(tier):
        raise NoSuchTier(
            f"{shown(tier)} is no tier to deploy into",
            "There are staging, blue and green; private ones begin with dev or test: dev1, "
            "test-numpy.",
        )
    validate_target_characters(target.top)
    ownership.require_own_target(target)
    history.newest(target)  # raises as the change would that the build ends in
    freshness.refresh_by_reading(target)
    private = [tier] if is_private_name(tier) else []
    state = observe(target, private)
    if not exists(target.fs, target.intent):  # between two renames both may show one color
        validate_rotation(state)
    loadable.require_in_place(target, [state.blue.directory, state.green.directory])
    content = state.behind(link_to_deploy(tier, state))
    if private and content == Content(tier):
        raise not_a_link(target, tier)
    if content is not None and content.deployment is None:
        adopt.require_possible(target, Color(content.directory))
    return Seen(state, content)


def _prepare(
    target: Target,
    wish: Wish,
    author: Author,
    run: Engine,
    reporter: Reporter,
    there: Shown,
) -> Build:
    """Read the definitions, and have them solved or the locks of a deployment read.

    Meanwhile what is there already is looked at.
    """
    envs = target.within(f"{DEPLOYMENTS}/{HIGHEST_NUMBER}/conda/envs")
    found = definitions.read(wish.directory, wish.subdir, run.wrong_spec, envs)
    ownership.require_trusted(target, found)
    if found.environments:
        _require_startable(target)
    if wish.like is not None:
        locks = _locks(target, found, wish.like)
        there.look(found)
        return Build(found, run.like(found.environments, wish.subdir, locks), author)
    if found.environments:
        reporter.begun(Step.SOLVE, ", ".join(wanted.name for wanted in found.environments))
    look = partial(there.look, found)
    return Build(found, run.solve(found.environments, wish.subdir, look), author)


def _require_startable(layout: Layout) -> None:
    """Raise ``Refused`` where no command of an environment could be started, as to build it."""
    mount = mounts.find(layout.deployments)
    if mount is not None and mount.runs_nothing:
        raise Refused(
            f"{shown(mount.point)} is mounted with noexec: no command that is built in "
            f"{shown(layout.deployments)} could be started on this host",
            f"Mount it with exec (mount -o remount,exec {typed(mount.point)}), or deploy on a host "
            "where it is.",
        )


def _locks(target: Target, found: Definitions, like: str) -> dict[str, str]:
    """Return the lock file of each environment; raises ``NoSuchTier`` where there is none."""
    content = compare.content_of(target, like)
    locks = {}
    for environment in found.environments:
        path = target.lock_record(content.directory, environment.name)
        try:
            ownership.require_trusted_file(target, path)
        except FileNotFoundError as error:
            raise NoSuchTier(
                f"{content} has no lock of the environment {environment.name}: {shown(path)}",
                "Deploy without --like, or like one that has it.",
            ) from error
        locks[environment.name] = path
    return locks


def _is_there(there: Shown, wanted: Build, reporter: Reporter) -> bool:
    """Say whether what is wanted is there already, whole; warn if it is damaged."""
    if not there.was_built_from(wanted):
        return False
    if there.damage:
        more = f", and {len(there.damage) - 1} more" if there.damage[1:] else ""
        reporter.warn(
            f"{there.content} is not what was built, and is built anew: {there.damage[0]}{more}"
        )
    return not there.damage


def _tell_unchanged(target: Target, seen: Seen, reporter: Reporter) -> None:
    """Tell that there is nothing to do, and again what was said of what the tier shows."""
    if seen.content is not None:
        for warning in unchanged.warnings_of(target, seen.content):
            reporter.warn(warning)
    reporter.unchanged(seen)


def _is_as_seen(target: Target, tier: str, seen: Seen) -> bool:
    """Say whether nobody has moved the links since the deploy began: solving can take minutes."""
    target.fs.refresh(target.infrastructure, write=True)
    return look_at(target, tier) == seen


class _Watching:
    """Tells in addition what the switch took the place of, if nobody can have meant that."""

    def __init__(self, reporter: Reporter, tier: str, number: int, seen: Seen) -> None:
        self._reporter = reporter
        self._tier = tier
        self._number = number
        self._seen = seen

    def recovered(self, event: Event) -> None:
        """See ``ending.Reporter.recovered``."""
        self._reporter.recovered(event)

    def warn(self, text: str) -> None:
        """See ``ending.Reporter.warn``."""
        self._reporter.warn(text)

    def done(self, outcome: ending.Outcome) -> None:
        """See ``ending.Reporter.done``."""
        replaced = outcome.before.behind(link_to_deploy(self._tier, outcome.before))
        is_unseen = replaced not in self._seen.contents
        if is_unseen and replaced is not None and replaced.deployment is not None:
            self._reporter.warn(
                f"{self._tier} showed {replaced}, which somebody else has deployed since this "
                f"deploy began; it shows deployment {self._number} now"
            )
        self._reporter.done(outcome)


def _require_cache(target: Target) -> None:
    """Have the package cache; raise ``NotWritable`` if only others can write to it."""
    store.make_shared_directory(target, target.cache)
    if not target.fs.is_writable(target.cache):  # the engine writes there even where it only reads
        raise NotWritable(target.cache, store.why_not_writable(target.fs, target.cache))
    for name in (REPODATA, WHEELS):  # also where the cache does not hand its group on
        store.make_like(target.fs, target.cache, f"{target.cache}/{name}")
