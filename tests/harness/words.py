"""What a command has to say when it fails."""

import errno
import os
from collections.abc import Iterable

from program import Ended

# Whoever asks whether they may write, or for a lock, hears yes or no, and no reason.
OWN_WORDS = (
    *("no permission to write to", "you cannot write it", "the target is locked by"),
    os.strerror(errno.EAGAIN),
)


def require_words(done: Ended, errors: Iterable[str], target: str, case: str) -> None:
    """See that a failure says what went wrong, where, and what to type next.

    ``errors`` are the names of those that can be the cause.
    """
    said = done.err + done.out  # where a doctor tells what is wrong
    assert "defect of tierctl" not in said, case
    assert "Traceback" not in said, case
    if done.code == 1:
        causes = [os.strerror(getattr(errno, error)) for error in errors]
        assert any(words in said for words in (*causes, *OWN_WORDS)), f"no cause: {case}"
        assert target in said, f"no path: {case}"
        assert 2 <= len(said.splitlines()), f"no advice: {case}"
