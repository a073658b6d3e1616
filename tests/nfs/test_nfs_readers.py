"""Readers on client B, while client A exchanges production and staging again and again."""

import json
import time
from typing import Any

import pytest

from nfs.shared import SharedTarget
from thorough import THOROUGH, times

_CHANGES = times(10, 300)
_PAUSE_S = 0.4
# The reader looks on for so long after the last change; what it shows then is what it ends with.
_SETTLING_S = times(3, 70)


class Seen:
    """What a reader saw of the changes."""

    def __init__(self, reader: dict[str, Any], changes: list[list[Any]]) -> None:
        self.looks: int = reader["looks"]
        self.wrong: int = reader["wrong"]
        self.errors: dict[str, int] = reader["errors"]
        self._gone: list[float] = reader["gone"]
        self._shown: list[list[Any]] = reader["shown"]
        self._changes = changes

    @property
    def one_color_s(self) -> float:
        """The longest time for which both tiers showed one color."""
        ends = [at for at, *_ in self._shown[1:]]
        spans = zip(self._shown, ends, strict=False)
        return max((end - at for (at, *tiers), end in spans if len({*tiers}) == 1), default=0)

    @property
    def late_s(self) -> float:
        """The longest time after a change for which the version of before was seen.

        Of those changes that were seen before the next one began.
        """
        begins = [begun for begun, *_ in self._changes[1:]] + [float("inf")]
        late = [0.0]
        for (begun, ended, *tiers), following in zip(self._changes, begins, strict=True):
            seen = (at for at, *shown in self._shown if shown == tiers and begun <= at < following)
            late += [at - ended for at in seen][:1]
        return max(late)

    def __str__(self) -> str:
        shown = len(self._shown) - 1
        return (
            f"{len(self._changes)} changes, {self.looks} looks: errors {self.errors}, wrong content"
            f" {self.wrong}, a tier gone for {max(self._gone, default=0):.1f} s, one color for"
            f" {self.one_color_s:.1f} s, old version for {self.late_s:.1f} s, {shown} changes seen"
        )


def seen_during(how: str, target: SharedTarget) -> Seen:
    """Return what a reader on B sees while A makes changes."""
    a, b = target.cluster.clients
    stop = f"/tmp/stop-{target.path.replace('/', '-')}"  # noqa: S108 (in a machine of the test's)
    reading = b.begin(f"python3 -S /host/guest/reader.py {target.infrastructure} {stop}")
    words = f"{how} {target.infrastructure} {_CHANGES} {_PAUSE_S}"
    changes = json.loads(a.must(f"python3 /host/guest/promoter.py {words}", timeout=3000))
    time.sleep(_SETTLING_S)
    b.must(f"touch {stop}")
    ended = reading.wait()
    assert 0 == ended.code, ended
    seen = Seen(json.loads(ended.out), changes)
    print(f"{how}, {target.options}: {seen}")
    return seen


def test_no_reader_misses_a_link_or_reads_a_wrong_file(target: SharedTarget) -> None:
    seen = seen_during("tierctl", target)
    assert ({}, 0) == (seen.errors, seen.wrong)
    assert seen.looks > _CHANGES


thoroughly = pytest.mark.skipif(not THOROUGH, reason="for the figures of nox -s nfs")


@thoroughly
@pytest.mark.parametrize("how", ["unlink", "ln"])
@pytest.mark.parametrize("target", ["vers=4.2", "vers=3"], indirect=True)
def test_what_readers_see_of_other_ways_to_switch(target: SharedTarget, how: str) -> None:
    """Only for the figures: whether they miss a link is a matter of milliseconds."""
    assert seen_during(how, target).looks > _CHANGES
