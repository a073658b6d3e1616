"""Who is allowed what on NFS, with root_squash and without it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nfs.cluster import EXPORT_OPTIONS, Cluster
from nfs.machines import Machine
from nfs.shared import OPTIONS
from program import Ended
from thorough import THOROUGH

_SQUASHED = EXPORT_OPTIONS.replace("no_root_squash", "root_squash")
EXPORTS = {"root is root": EXPORT_OPTIONS, "root is squashed": _SQUASHED}
_CHANGES = (["promote-staging"], ["promote-staging"], ["rollback", "--to", "1"])
_NOT_ALLOWED = "no permission to write to"
_NO_ROOT = "the NFS server gives root no rights of its own there (root_squash)"

exported = pytest.mark.parametrize("exported", EXPORTS)
squashed = pytest.mark.parametrize("exported", EXPORTS if THOROUGH else ["root is squashed"])
mounted = pytest.mark.parametrize("options", OPTIONS if THOROUGH else OPTIONS[:1])


@contextmanager
def exporting(cluster: Cluster, exported: str) -> Iterator[None]:
    cluster.export(EXPORTS[exported])
    try:
        yield
    finally:
        cluster.export(EXPORT_OPTIONS)


class Places:
    """Directories on the server to make targets in: everybody's, root's, ada's and the group's."""

    def __init__(self, cluster: Cluster, options: str, name: str) -> None:
        self.server = cluster.server
        self.on_client = f"{cluster.mount(options)}/{name}"
        self.on_server = cluster.on_server(self.on_client)
        self.server.must(
            f"install -d {self.on_server} && cd {self.on_server} && install -d -m 1777 open && "
            "install -d roots && install -d -o ada -g ada adas && "
            "install -d -o ada -g lab -m 2775 labs"
        )

    def listing(self, *, times: bool = True) -> str:
        """Return all that is there, with owners, modes and links, and times of change."""
        time = " %T@" * times
        return self.server.must(f"find {self.on_server} -printf '%p %m %u %g %l{time}\\n' | sort")


# Bootstrap


def require_refused(done: Ended, *words: str) -> None:
    """Require that a command said why it did nothing, and what to do instead."""
    assert 1 == done.code, done
    assert all(word in done.err for word in words), done
    assert 2 <= len(done.err.splitlines()), done


@exported
@mounted
def test_bootstrap_makes_what_is_ones_own_or_leaves_nothing(
    cluster: Cluster, name: str, options: str, exported: str
) -> None:
    with exporting(cluster, exported):
        places = Places(cluster, options, name)
        is_root = exported == "root is root"

        def refuse(user: str, where: str, *words: str, group: bool = False) -> None:
            before = places.listing(times=False)  # to find out it makes something, and removes it
            require_refused(bootstrap(user, where, group=group), *words)
            assert before == places.listing(times=False)

        def bootstrap(user: str, where: str, *, group: bool = False) -> Ended:
            of_group = ["--group", "lab"] if group else []
            return cluster.a.tierctl(
                "bootstrap", f"{places.on_client}/{where}", *of_group, user=user
            )

        for user, where, group in (("ada", "adas/1", False), ("bob", "labs/1", True)):
            assert 0 == bootstrap(user, where, group=group).code
        refuse("eve", "adas/2", _NOT_ALLOWED, "only ada can")
        refuse("eve", "open/2", "you are not in the group lab", group=True)
        if is_root:
            assert 0 == bootstrap("root", "open/3", group=True).code
            assert 0 == bootstrap("root", "adas/3").code
        else:
            squashed = "takes root for another user (root_squash)"
            as_owner = "Run bootstrap as the user who is to own the target."
            refuse("root", "open/3", "belongs to nobody", squashed, as_owner)
            refuse("root", "open/3", "the group lab", squashed, as_owner, group=True)
            refuse("root", "adas/3", _NOT_ALLOWED, _NO_ROOT)


# A target that is there


def use(client: Machine, user: str, target: str, places: Places, *, refused: str | None) -> None:
    """Have a user look at a target and change it; what they may not do is refused with a reason."""
    before = places.listing()
    for words in (["status"], ["doctor", "-n"]):
        assert 0 == client.tierctl(*words, "-t", target, user=user).code
    dry = client.tierctl("promote-staging", "-n", "-t", target, user=user)
    assert before == places.listing()
    if refused is None:
        assert 0 == dry.code
        for change in _CHANGES:
            assert 0 == client.tierctl(*change, "-t", target, user=user).code
        assert 0 == client.tierctl("doctor", "-t", target, user=user).code
        return
    for change in _CHANGES:
        require_refused(client.tierctl(*change, "-t", target, user=user), _NOT_ALLOWED, refused)
    require_refused(dry, _NOT_ALLOWED, refused)
    assert 0 == client.tierctl("doctor", "-t", target, user=user).code
    assert before == places.listing()


def use_as_each(
    cluster: Cluster, places: Places, target: str, exported: str, refused: dict[str, str | None]
) -> None:
    """Have root and others use a target in turn; ``refused`` says who may not, and why."""
    by_root = None if exported == "root is root" else _NO_ROOT
    for user, why in {"root": by_root, **refused}.items():
        use(cluster.b, user, target, places, refused=why)


@squashed
@mounted
def test_a_groups_target_is_changed_by_its_members_and_nobody_else(
    cluster: Cluster, name: str, options: str, exported: str
) -> None:
    with exporting(cluster, exported):
        places = Places(cluster, options, name)
        target = f"{places.on_client}/labs/1"
        made = cluster.a.tierctl("bootstrap", target, "--group", "lab", user="ada")
        assert 0 == made.code, made
        strangers = {"eve": "only ada and the group lab can"}
        use_as_each(cluster, places, target, exported, {"ada": None, "bob": None, **strangers})


@pytest.mark.skipif(not THOROUGH, reason="takes long")
@exported
@mounted
def test_ones_own_target_is_changed_by_nobody_else_but_root(
    cluster: Cluster, name: str, options: str, exported: str
) -> None:
    with exporting(cluster, exported):
        places = Places(cluster, options, name)
        target = f"{places.on_client}/adas/1"
        assert 0 == cluster.a.tierctl("bootstrap", target, user="ada").code
        use_as_each(cluster, places, target, exported, {"bob": "only ada can", "ada": None})
