"""A reporter that remembers what it was told of a change, and changes that are told to one."""

from tierctl.change import change
from tierctl.change.ending import Outcome
from tierctl.change.requests import Request
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem
from tierctl.journal.events import Event
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author


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


def carry_out(
    layout: Layout, request: Request, *, fs: FileSystem | None = None, heard: Heard | None = None
) -> Outcome:
    """Change an infrastructure, on this host's filesystem unless another is given."""
    fs, heard = fs or OsFileSystem(), heard or Heard()
    change.carry_out(Target(fs, layout), request, Author("ada", "lab"), heard, lock_timeout=1)
    (outcome,) = heard.outcomes
    return outcome
