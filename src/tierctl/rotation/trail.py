"""What production served before: the way back, and what not to go forward to.

Pure. Every event carries the past as it was after it, so that a rollback and a
guard need the newest event and nothing else, however long history is.
"""

from __future__ import annotations

from typing import NamedTuple

from tierctl.rotation.state import Content

# So many rollbacks in a row are possible; each step costs about 20 bytes in every event.
LONGEST_TRAIL = 50
# So many deployments stay marked as rolled back, the latest ones.
MOST_MARKS = 200


class Past(NamedTuple):
    """The trail that rollback follows and the deployments that were rolled back.

    ``trail`` holds what production served before, newest first, each content
    once. ``rolled_back`` holds deployment numbers, oldest first.
    """

    trail: tuple[Content, ...] = ()
    rolled_back: tuple[int, ...] = ()

    @property
    def way_back(self) -> Content | None:
        """What a rollback returns to."""
        return self.trail[0] if self.trail else None

    def after_promotion(self, left: Content | None, reached: Content) -> Past:
        """Return the past after production moved on from ``left`` to ``reached``."""
        trail = [content for content in self.trail if content not in (left, reached)]
        if left is not None and left != reached:
            trail.insert(0, left)
        rolled_back = (number for number in self.rolled_back if number != reached.deployment)
        return Past(tuple(trail[:LONGEST_TRAIL]), tuple(rolled_back))

    def after_rollback(self, left: Content, reached: Content) -> Past:
        """Return the past after production went back from ``left`` to ``reached``.

        What lay between them on the trail was rolled back too. To a later
        deployment that is on no trail (``rollback --to``) production moves on.
        """
        if reached not in self.trail and _is_later(reached, left):
            return self.after_promotion(left, reached)
        gone = [left]
        trail = self.trail
        if reached in trail:
            place = trail.index(reached)
            gone = [left, *trail[:place]]
            trail = trail[place + 1 :]
        numbers = [content.deployment for content in reversed(gone)]
        marked = dict.fromkeys((*self.rolled_back, *numbers))
        rolled_back = [n for n in marked if n is not None and n != reached.deployment]
        return Past(
            tuple(content for content in trail if content != left),
            tuple(rolled_back[-MOST_MARKS:]),
        )

    def after_adoption(self, plain: Content, adopted: Content) -> Past:
        """Return the past after a plain directory has become a deployment."""
        trail = (adopted if content == plain else content for content in self.trail)
        return self._replace(trail=tuple(trail))

    def reconciled(self, recorded: Content | None, found: Content | None) -> Past:
        """Return the past where production is not what the newest event says.

        Somebody moved the links without tierctl, or a full disk kept a rollback
        out of history. A content on the trail means that production went back.
        """
        if recorded == found:
            return self
        if found is None:
            trail = () if recorded is None else (recorded,)
            return self._replace(trail=(*trail, *self.trail)[:LONGEST_TRAIL])
        if recorded is not None and found in self.trail:
            return self.after_rollback(recorded, found)
        return self.after_promotion(recorded, found)


def _is_later(one: Content, other: Content) -> bool:
    if one.deployment is None or other.deployment is None:
        return False
    return one.deployment > other.deployment
