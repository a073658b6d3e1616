"""The change that a deploy ends in: a color, or a private tier, shows a new deployment."""

from __future__ import annotations

from typing import NamedTuple

from tierctl.change import adopt
from tierctl.errors import Exists, InvalidLink, NoSuchTier, Refused
from tierctl.fs.protocol import Kind, exists
from tierctl.journal.events import Built, Event, EventKind
from tierctl.rotation.names import LINKS, PRODUCTION, STAGING
from tierctl.rotation.plan import Plan
from tierctl.rotation.state import Color, Content, State, deployed
from tierctl.rotation.trail import Past
from tierctl.target import record
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.text import shown


class Deployment(NamedTuple):
    """A color, or a private tier, shows a new deployment.

    ``spare`` is the number that a color's plain directory gets which gives way;
    ``manifest`` is the sha256 of the deployment's.
    """

    tier: str
    number: int
    spare: int | None = None
    manifest: str = ""
    kind: EventKind = EventKind.DEPLOY

    @property
    def private(self) -> tuple[str, ...]:
        """See ``Request.private``."""
        return () if self.tier in LINKS else (self.tier,)

    @property
    def built(self) -> Built | None:
        """See ``Request.built``."""
        return Built(self.number, self.manifest) if self.manifest else None

    def aim(self, target: Target, state: State, past: Past) -> State:
        """See ``Request.aim``."""
        tier = link_to_deploy(self.tier, state)
        content = Content.of_deployment(self.number)
        if not record.is_finished(target, content.directory):
            raise NoSuchTier(f"{content} is gone, or was never finished", "Deploy again.")
        if state.behind(tier) == Content(tier):
            self._require_adoptable(target, tier)
        return deployed(state, tier, content, spare=self.spare)

    def _require_adoptable(self, target: Target, tier: str) -> None:
        if self.private:
            raise not_a_link(target, tier)
        if self.spare is None:
            raise InvalidLink(
                target.within(tier), "has become a plain directory meanwhile", "Deploy again."
            )
        kept = target.within(Content.of_deployment(self.spare).directory)
        # The link that an interrupted change had prepared there may go.
        if exists(target.fs, kept) and target.fs.entry(kept).kind is not Kind.LINK:
            raise Exists(f"there is something already: {shown(kept)}", "Deploy again.")
        adopt.require_possible(target, Color(tier))

    def past_after(self, past: Past, before: State, after: State) -> Past:
        """See ``Request.past_after``."""
        if after.adopted is None:
            return past
        color = link_to_deploy(self.tier, before)
        return past.after_adoption(Content(color), Content.of_deployment(after.adopted))

    def is_met_by(self, event: Event) -> bool:
        """See ``Request.is_met_by``."""
        if event.kind is not self.kind:
            return False
        shown = event.after.behind(link_to_deploy(self.tier, event.after))
        return shown == Content.of_deployment(self.number)

    def may_go_unrecorded(self, steps: Plan) -> bool:
        """See ``Request.may_go_unrecorded``."""
        return False


def not_a_link(layout: Layout, tier: str) -> InvalidLink:
    """Return the error of a private tier that is a plain directory."""
    return InvalidLink(layout.within(tier), "is a plain directory, not a symlink to a deployment")


def link_to_deploy(tier: str, state: State) -> str:
    """Return the link that a deploy into a tier moves: a color, or a private tier itself.

    Raises ``Refused`` for what production serves.
    """
    if tier == PRODUCTION:
        raise Refused(
            "nothing is deployed into production: deploy into staging, test it, and promote it",
            "To do so:",
            "deploy staging",
        )
    name = state.staging if tier == STAGING else tier
    if name == state.production:
        raise Refused(
            f"{tier} is what production serves ({name}): nothing is deployed into that",
            f"Deploy into staging, which is {state.staging}:",
            "deploy staging",
        )
    return name
