"""Every path of a target, spelled once."""

from __future__ import annotations

from functools import cached_property
from os import path as paths
from typing import NamedTuple

from tierctl.rotation.names import (
    CACHE,
    CONTROL,
    DEPLOYMENTS,
    INFRASTRUCTURE,
    MANIFEST,
    META,
    RECORD,
)


class _Infrastructure(NamedTuple):
    infrastructure: str


class Layout(_Infrastructure):
    """The paths of one infrastructure, from its directory; each is put together once."""

    @classmethod
    def of_target(cls, target: str) -> Layout:
        """Return the layout of the directory that was given to bootstrap."""
        return cls(paths.join(target, INFRASTRUCTURE))

    @cached_property
    def top(self) -> str:
        """The directory that was given to bootstrap."""
        return paths.dirname(self.infrastructure)

    @cached_property
    def cache(self) -> str:
        """The package cache that all deployments share."""
        return f"{self.top}/{CACHE}"

    @cached_property
    def half_built(self) -> str:
        """Where bootstrap builds an infrastructure before it gets its name."""
        return f"{self.top}/.{INFRASTRUCTURE}.bootstrap"

    @cached_property
    def deployments(self) -> str:
        """The directory of the numbered builds."""
        return self.within(DEPLOYMENTS)

    @cached_property
    def control(self) -> str:
        """The directory of tierctl's own records."""
        return self.within(CONTROL)

    @cached_property
    def lock(self) -> str:
        """The file that whoever changes the infrastructure holds a lock on."""
        return f"{self.control}/lock"

    @cached_property
    def holder(self) -> str:
        """Who holds the lock, for messages only."""
        return f"{self.control}/holder.json"

    @cached_property
    def intent(self) -> str:
        """The change under way."""
        return f"{self.control}/intent.json"

    @cached_property
    def history(self) -> str:
        """The events, one a line."""
        return f"{self.control}/history.jsonl"

    @cached_property
    def config(self) -> str:
        """The target's policy."""
        return f"{self.control}/config.toml"

    @cached_property
    def numbers(self) -> str:
        """The lock of whoever takes the next deployment's number, or removes unfinished ones."""
        return f"{self.control}/numbers"

    @cached_property
    def using_cache(self) -> str:
        """The lock that deploys share while they use the package cache; who prunes it is alone."""
        return f"{self.control}/cache"

    @cached_property
    def highest(self) -> str:
        """The highest number that a deployment has had which was removed."""
        return f"{self.control}/highest"

    def building(self, number: int) -> str:
        """Return the lock of whoever builds a deployment; not in there, where it would stay."""
        return f"{self.control}/building-{number}"

    @property
    def scratch(self) -> str:
        """Where doctor tries out what the filesystem can do."""
        return f"{self.control}/scratch"

    def within(self, name: str) -> str:
        """Return the path of a tier, a color or a content's directory."""
        return f"{self.infrastructure}/{name}"

    def deployment_record(self, directory: str) -> str:
        """Return the file whose presence says that a deployment is finished."""
        return f"{self.within(directory)}/{META}/{RECORD}"

    def manifest(self, directory: str) -> str:
        """Return the file that lists what a deployment consists of."""
        return f"{self.within(directory)}/{META}/{MANIFEST}"

    def lock_record(self, directory: str, environment: str) -> str:
        """Return the file that says what an environment of a deployment was installed from."""
        return f"{self.within(directory)}/{META}/locks/{environment}.lock"

    def packages_record(self, directory: str) -> str:
        """Return the file that lists the packages of a deployment."""
        return f"{self.within(directory)}/{META}/packages.json"


def temporary(path: str) -> str:
    """Return the name beside ``path`` under which its successor is prepared."""
    head, slash, tail = path.rpartition("/")
    return f"{head}{slash}.{tail}.new"
