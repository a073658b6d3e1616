"""The names in a target, of its tiers and of its directories, spelled once."""

from __future__ import annotations

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
# In an environment: what its engine notes of each package that it has linked.
PACKAGE_RECORDS = "conda-meta"
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
