"""A target that both clients share, and the mount options to see it through."""

import shlex
from itertools import product

from nfs.cluster import Cluster
from nfs.machines import Job, Machine
from program import Ended
from thorough import THOROUGH

_VERSIONS = ("vers=4.2", "vers=3")
_CACHES = ("", "actimeo=60", "nocto,actimeo=60", "noac")
# The default options, and those with which a version without refresh is wrong most surely.
_SAMPLE = ("vers=4.2", "vers=3,actimeo=60")
_ALL = tuple(",".join(filter(None, parts)) for parts in product(_VERSIONS, _CACHES))
OPTIONS = _ALL if THOROUGH else _SAMPLE


class SharedTarget:
    """A target on the server: both clients see it at one path, through mounts of these options."""

    def __init__(self, cluster: Cluster, options: str, name: str) -> None:
        self.cluster = cluster
        self.options = options
        self.name = name
        self.mount = cluster.mount(options)
        self.path = f"{self.mount}/{name}"
        self.infrastructure = f"{self.path}/infrastructure"
        self._definitions = f"/tmp/{name}"  # noqa: S108 (in a machine of the test's own)

    def make(self) -> None:
        """Make it by hand, with two deployments; each color's etc/version says which it is."""
        lines = [f"mkdir -p {self.infrastructure}/deployments", f"cd {self.infrastructure}"]
        for number, color in enumerate(("blue", "green"), start=1):
            top = f"deployments/{number}"
            lines += [
                f"mkdir -p {top}/meta {top}/etc",
                f"printf {color} > {top}/etc/version",
                f"echo '{{}}' > {top}/meta/deployment.json",
                f"ln -s {top} {color}",
            ]
        lines += ["ln -s green production", "ln -s blue staging"]
        self.cluster.a.must("\n".join(["set -e", *lines]))

    def do(self, client: Machine, *words: object) -> Ended:
        """Run a command of tierctl on a client."""
        return client.tierctl(*words, "-t", self.path)

    def begin(self, client: Machine, *words: object) -> Job:
        """Have a client run a command of tierctl, and return at once."""
        return client.begin(shlex.join(["tierctl", *map(str, words), "-t", self.path]))

    def must(self, client: Machine, *words: object) -> Ended:
        """Run a command of tierctl that has to succeed."""
        done = self.do(client, *words)
        assert 0 == done.code, (words, done)
        return done

    def deploying(self, client: Machine, version: object) -> list[str]:
        """Write definitions of this version on a client; returns the words that deploy them."""
        tier = f"{self._definitions}/tier/etc"
        client.must(f"mkdir -p {tier}; printf %s {shlex.quote(str(version))} > {tier}/version")
        return ["deploy", "staging", "--definitions", self._definitions]

    def warm(self, client: Machine) -> None:
        """Have a client look at all links and into what they show, as whoever loads it does."""
        client.must(
            f"cd {self.infrastructure}; ls -l . >/dev/null; "
            "cat production/etc/version staging/etc/version >/dev/null"
        )
        self.must(client, "status")

    def links(self) -> dict[str, str]:
        """Return what the links say on the server's disk."""
        names = ("production", "staging", "blue", "green")
        top = self.cluster.on_server(self.infrastructure)
        texts = self.cluster.server.must(f"cd {top} && readlink {' '.join(names)}").split()
        return dict(zip(names, texts, strict=True))

    def version(self, tier: str) -> str:
        """Return the version that a tier shows on the server's disk."""
        top = self.cluster.on_server(self.infrastructure)
        return self.cluster.server.must(f"cat {top}/{tier}/etc/version")
