"""Whether the kernel keeps what a deploy installs to its own deployment."""

from __future__ import annotations

from collections.abc import Iterator

from tierctl.doctor.finding import Finding, fine, note
from tierctl.target.target import Target

SUBJECT = "kernel"
_MEANING = (
    "Paths of packages are checked before anything is linked. But what is not foreseen there, or "
    "a directory that another user exchanges for a link meanwhile, can have files written "
    "outside of the new deployment."
)


def examine(target: Target) -> Iterator[Finding]:
    """Yield what the kernel's Landlock does for deploys on this host."""
    from tierctl.deploy.engine.worker import confining  # which takes time to import

    version = confining.version()
    if version >= confining.LEAST_VERSION:
        yield fine(SUBJECT, "it keeps a deploy to its own deployment and the package cache")
    else:
        yield note(SUBJECT, *_lacking(version))


def _lacking(version: int) -> tuple[str, str, str]:
    """Return what is missing, what that means, and what to do."""
    if version > 0:
        what = "its Landlock is too old to keep a deploy to its own deployment"
        advice = "Linux 5.19 and later can do it."
    elif version < 0:
        what = "Landlock is switched off, which would keep a deploy to its own deployment"
        advice = "Add landlock to lsm= on the kernel's command line, and boot."
    else:
        what = "it has no Landlock, which would keep a deploy to its own deployment"
        advice = "Linux 5.19 and later have it, if built with CONFIG_SECURITY_LANDLOCK."
    return what, _MEANING, advice
