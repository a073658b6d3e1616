"""What tests on real NFS share: one server with two clients, booted once."""

from collections.abc import Iterator
from itertools import count

import pytest

from nfs import cluster as clusters
from nfs.cluster import Cluster
from nfs.shared import OPTIONS, SharedTarget

_numbers = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A server and two clients that all tests share."""
    with clusters.running() as cluster:
        yield cluster


@pytest.fixture
def name() -> str:
    """A name for a directory that no other test uses."""
    return f"t{next(_numbers)}"


@pytest.fixture(params=OPTIONS)
def target(request: pytest.FixtureRequest, cluster: Cluster, name: str) -> SharedTarget:
    """A target that both clients see through a mount, with each of the options."""
    target = SharedTarget(cluster, request.param, name)
    target.make()
    return target
