"""What happens when the server, a client, the network or a command fails in the middle of a change.

What was reported is in history, and what is in history is so. What the command that failed did
not get to, the next one does, on the other client.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import pytest

from harness.strace import Call
from harness.words import require_words
from nfs.cluster import Cluster
from nfs.trial import CHANGES, Trial, middle, points, told, undisturbed
from program import Ended
from thorough import THOROUGH, times

HARD = ("vers=4.2", "vers=3")
# Calls fail when the server has not answered twice, after 1 s each.
SOFT = tuple(f"{version},soft,timeo=10,retrans=1" for version in HARD)
# What the system says of a server that does not answer, and of locks that were lost.
CAUSES = ("EIO", "ETIMEDOUT", "ESTALE", "ENOLCK")
# Longer than any of the changes has points.
_MOST_POINTS = 100
_AWAY_S = times(2, 30)

batches = pytest.mark.parametrize("batch", range(_MOST_POINTS if THOROUGH else 1))


def trials(cluster: Cluster, batch: int, options: tuple[str, ...]) -> Iterator[Trial]:
    """Yield a trial of each kind of change, stopped at one point of it; skip where none is left.

    In a sample of all there is one for each kind of change, in the middle of it.
    """
    begun = []
    for number, name in enumerate(CHANGES):
        calls = undisturbed(cluster, name).calls
        for version in options if THOROUGH else [options[number % len(options)]]:
            at = points(calls)[batch:][:1] if THOROUGH else [middle(calls)[number % len(middle(calls))]]
            for call in at:
                trial = Trial(cluster, name, version)
                trial.begin(call)
                begun.append(trial)
    for trial in begun:
        trial.wait_until_stopped()
    return begun
