"""The same server through SMB and through sshfs: what works is said, the rest is refused."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nfs.cluster import EXPORTED, Cluster

_SHARED = f"{EXPORTED}/other"
_SMB_CONF = f"""[global]
server role = standalone
server min protocol = SMB3
pid directory = /run/samba
[lab]
path = {_SHARED}
writeable = yes
"""
_POINT = "/mnt/other"
_SMB_OPTIONS = "vers=3.1.1,username=root,password=secret"  # in a lab without a network


@contextmanager
def mounted(cluster: Cluster, how: str) -> Iterator[str]:
    """Mount the shared directory on A, yield where."""
    cluster.a.must(f"mkdir -p {_POINT}; {how}")
    try:
        yield _POINT
    finally:
        cluster.a.must(f"umount {_POINT}")


@pytest.fixture(scope="module")
def smb(cluster: Cluster) -> str:
    """Have the server serve SMB; returns the command that mounts it."""
    (cluster.host / "smb.conf").write_text(_SMB_CONF)
    cluster.server.must(
        f"mkdir -p {_SHARED} /run/samba && "
        "printf 'secret\\nsecret\\n' | smbpasswd -c /host/smb.conf -s -a root"
    )
    cluster.server.begin("exec smbd -F --no-process-group -s /host/smb.conf")
    cluster.server.must("until ss -ltn | grep -q :445; do sleep 0.05; done")
    return (
        f"modprobe cifs && mount -t cifs //{cluster.server.address}/lab {_POINT} -o {_SMB_OPTIONS}"
    )


@pytest.fixture(scope="module")
def sshfs(cluster: Cluster) -> str:
    """Have the server serve SSH; returns the command that mounts it with sshfs."""
    cluster.server.must(
        f"mkdir -p {_SHARED} /run/sshd && ssh-keygen -q -t ed25519 -N '' -f /run/key && "
        "install -d -m 700 /root/.ssh && install -m 600 /run/key.pub /root/.ssh/authorized_keys && "
        "cp /run/key /host/key && chmod 700 /root && /usr/sbin/sshd"
    )
    cluster.a.must("install -m 600 /host/key /run/key && modprobe fuse")
    options = "IdentityFile=/run/key,StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null"
    return f"sshfs root@{cluster.server.address}:{_SHARED} {_POINT} -o {options}"


def listing(cluster: Cluster) -> str:
    return cluster.server.must(f"find {_SHARED} -printf '%p %m %u %l\\n' | sort")


@pytest.mark.parametrize(
    ("options", "reason"),
    [("", "there are no symlinks there (cifs,"), (",mfsymlinks", "are plain files to the server")],
    ids=["plain", "mfsymlinks"],
)
def test_bootstrap_on_smb_is_refused_and_leaves_nothing(
    cluster: Cluster, smb: str, options: str, reason: str
) -> None:
    with mounted(cluster, smb + options) as point:
        before = listing(cluster)
        done = cluster.a.tierctl("bootstrap", f"{point}/lab")
        assert before == listing(cluster)
    assert (1, True, True) == (
        done.code,
        reason in done.err,
        "Choose a directory on another filesystem." in done.err,
    ), done


def test_a_target_that_smb_shows_is_not_changed_and_doctor_says_why(
    cluster: Cluster, smb: str, name: str
) -> None:
    cluster.server.must(
        f"mkdir -p {_SHARED}/{name}/infrastructure/blue {_SHARED}/{name}/infrastructure/green && "
        f"cd {_SHARED}/{name}/infrastructure && ln -s green production && ln -s blue staging"
    )
    with mounted(cluster, smb) as point:
        of_target = ("-t", f"{point}/{name}")
        before = listing(cluster)
        for words in (["promote-staging"], ["rollback"], ["prune"], ["promote-staging", "-n"]):
            done = cluster.a.tierctl(*words, *of_target)
            assert (1, True) == (done.code, "directory, not a symlink" in done.err), done
            assert 2 <= len(done.err.splitlines()), done
        shown = cluster.a.tierctl("status", *of_target)
        diagnosis = cluster.a.tierctl("doctor", *of_target)
        assert before == listing(cluster)
    assert (0, True) == (shown.code, "damaged" in shown.out), shown
    assert 1 == diagnosis.code
    assert "it is mounted with SMB (cifs), which has no symlinks" in diagnosis.out


def test_on_sshfs_changes_work_and_doctor_says_that_no_other_host_is_locked_out(
    cluster: Cluster, sshfs: str, name: str
) -> None:
    with mounted(cluster, sshfs) as point:
        of_target = ("-t", f"{point}/{name}")
        assert 0 == cluster.a.tierctl("bootstrap", of_target[1]).code
        for words in (["promote-staging"], ["promote-staging"], ["prune"], ["promote-staging"]):
            assert 0 == cluster.a.tierctl(*words, *of_target).code, words
        diagnosis = cluster.a.tierctl("doctor", *of_target)
    assert 1 == diagnosis.code
    assert "it is mounted with sshfs: locks hold on this host only" in diagnosis.out
    on_server = cluster.server.tierctl("status", "--json", "-t", f"{_SHARED}/{name}")
    assert "blue" == on_server.document["tiers"]["production"]["color"]
