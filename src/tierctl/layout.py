"""Every path of a target, spelled once."""

from __future__ import annotations

from functools import cached_property
from os import path as paths
from typing import NamedTuple

INFRASTRUCTURE = "infrastructure"
CACHE = "conda_package_cache"
# In the cache: what channels list, as it was fetched; and what uv keeps.
REPODATA = "repodata"
WHEELS = "uv"
DEPLOYMENTS = "deployments"
CONTROL = ".tierctl"
PRODUCTION = "production"
STAGING = "staging"
BLUE = "blue"
GREEN = "green"
LINKS = (PRODUCTION, STAGING, BLUE, GREEN)
# Private tiers: their names begin so.
PRIVATE = ("dev", "test")
# What one sources to load a tier, below its directory.
PROFILE = "etc/profile.sh"
# In a deployment: one conda environment for each definition.
ENVIRONMENTS = "conda/envs"
# What a deployment says of itself; in there its record, and the list of all that it consists of.
META = "meta"
RECORD = "deployment.json"
MANIFEST = "manifest"

# An environment's name: what conda's prefix has room for below a target (validators.py).
LONGEST_NAME = 24
# The highest number of a deployment that paths are measured for.
HIGHEST_NUMBER = 999_999

# What a tier's directory contains when it is made.
TIER_DIRECTORIES = ("bin", "conda", ENVIRONMENTS, "etc", "etc/profile.d", "logs", META)


class _Infrastructure(NamedTuple):
    infrastructure: str


class Layout(_Infrastructure):
    """The paths of one infrastructure, from its directory; each is put together once."""

    @classmethod
    def of_target(cls, target: str) -> Layout:
        """Return the layout of the directory that was given to bootstrap."""
        return cls(paths.join(target, INFRASTRUCTURE))

    @cached_property
    def target(self) -> str:
        """The directory that was given to bootstrap."""
        return paths.dirname(self.infrastructure)

    @cached_property
    def cache(self) -> str:
        """The package cache that all deployments share."""
        return f"{self.target}/{CACHE}"

    @cached_property
    def half_built(self) -> str:
        """Where bootstrap builds an infrastructure before it gets its name."""
        return f"{self.target}/.{INFRASTRUCTURE}.bootstrap"

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


def is_deployment_number(name: str) -> bool:
    """Say whether a name is a deployment's number, as tierctl writes it."""
    return name.isascii() and name.isdigit() and name[0] != "0" and len(name) < 10


def is_private_name(name: object) -> bool:
    """Say whether a name is one that a private tier can be given."""
    return is_plain_name(name) and str(name).startswith(PRIVATE)


def is_plain_name(name: object) -> bool:
    """Say whether a name can be one of a directory that people and shells type as it is."""
    if not isinstance(name, str) or not name.isascii() or not 0 < len(name) <= LONGEST_NAME:
        return False
    return name[0].isalnum() and all(char.isalnum() or char in "_.-" for char in name)


def temporary(path: str) -> str:
    """Return the name beside ``path`` under which its successor is prepared."""
    head, slash, tail = path.rpartition("/")
    return f"{head}{slash}.{tail}.new"
