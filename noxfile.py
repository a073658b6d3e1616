"""The project's sessions: ``nox`` runs the default ones, ``nox -s NAME`` one of them."""

import subprocess
from contextlib import suppress
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_venv = "yes"

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)


def is_there(version: str) -> bool:
    """Say whether a Python can be started: what pyenv has but does not offer cannot."""
    with suppress(OSError):
        asked = [f"python{version}", "-V"]
        return subprocess.run(asked, capture_output=True).returncode == 0  # noqa: S603 (of ours)
    return False


THERE = [version for version in PYTHONS if is_there(version)] or PYTHONS
TEST = nox.project.dependency_groups(PYPROJECT, "test")
# A module stays in one process: what it sets up is set up once.
PYTEST = ["pytest", "-q", "--numprocesses=auto", "--dist=loadscope"]
# Those take long, and what they try out is the system rather than a Python.
WITHOUT_SYSTEM_TESTS = ["--ignore=tests/torture", "--ignore=tests/nfs"]
DEPLOY = PYPROJECT["project"]["optional-dependencies"]["deploy"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python.

    On the newest that is there against the wheel, as users install it, and with the tests of the
    system; on another oldest one with the oldest dependencies that are declared.
    """
    newest = session.python == THERE[-1]
    if newest:
        install_wheel(session)
        session.install(*TEST, *DEPLOY)
    elif session.python == PYTHONS[0]:
        declared = [*PYPROJECT["project"]["dependencies"], *TEST, *DEPLOY]
        session.install("-e", ".", *(wanted.replace(">=", "==") for wanted in declared))
    else:
        session.install("-e", ".", *TEST, *DEPLOY)
    session.run(*PYTEST, *([] if newest else WITHOUT_SYSTEM_TESTS), *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of all code, and the dependencies by what the package index tells of them."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "tests/audit.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, as they are on Linux and on macOS."""
    session.install("-e", ".[deploy]", *nox.project.dependency_groups(PYPROJECT, "types"))
    for platform in ("linux", "darwin"):
        session.run("mypy", "--platform", platform)


@nox.session
def torture(session: nox.Session) -> None:
    """Kill, fail and race the installed commands at every point there is; takes hours."""
    install_wheel(session)
    session.install(*TEST, *DEPLOY)
    session.run(*PYTEST, "tests/torture", *session.posargs, env={"TIERCTL_THOROUGH": "1"})


@nox.session
def nfs(session: nox.Session) -> None:
    """Run the long forms of what is tested on real NFS, and print its figures; takes hours."""
    install_wheel(session)
    session.install(*TEST, *DEPLOY)
    # One process: there is one lab. -rP: what each test prints.
    pytest = ["pytest", "-v", "-rP", "tests/nfs", *session.posargs]
    session.run(*pytest, env={"TIERCTL_THOROUGH": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what is promised about speed; prints ratios, passes or fails nothing."""
    install_wheel(session)
    session.install(*DEPLOY)
    session.run("python", "tests/bench.py", *session.posargs)


def install_wheel(session: nox.Session) -> None:
    """Build the wheel and install it."""
    wheels = Path(session.virtualenv.location, "wheels").resolve()
    for old in wheels.glob("*.whl"):
        old.unlink()
    session.run("pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(wheels), ".", silent=True)
    (wheel,) = wheels.glob("*.whl")
    session.install("--force-reinstall", str(wheel))
