"""A reporter that remembers what it was told of a change."""

from tierctl.ending import Outcome
from tierctl.events import Event


class Heard:
    """What was told, by kind."""

    def __init__(self) -> None:
        self.finished: list[Event] = []
        self.outcomes: list[Outcome] = []
        self.warnings: list[str] = []

    def recovered(self, event: Event) -> None:
        """Hear of a change that was interrupted."""
        self.finished.append(event)

    def done(self, outcome: Outcome) -> None:
        """Hear of the change that was asked for."""
        self.outcomes.append(outcome)

    def warn(self, text: str) -> None:
        """Hear of something that went wrong beside it."""
        self.warnings.append(text)
