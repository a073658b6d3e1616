"""What doctor says of the kernel's Landlock."""

import ctypes
import errno

import pytest
from pytest_mock import MockerFixture

from damage import found
from tierctl.deploy.engine.worker import confining
from tierctl.doctor import Severity
from tierctl.target.paths import Layout
from tools import require_landlock


def test_where_the_kernel_has_it_all_is_well(layout: Layout) -> None:
    require_landlock()
    finding = found(layout, "it keeps a deploy to its own deployment")
    assert Severity.OK is finding.severity


@pytest.mark.parametrize(
    ("answer", "number", "text", "advice"),
    [
        (-1, errno.ENOSYS, "it has no Landlock", "CONFIG_SECURITY_LANDLOCK"),
        (-1, errno.EOPNOTSUPP, "Landlock is switched off", "lsm="),
        (1, 0, "its Landlock is too old", "Linux 5.19"),
    ],
)
def test_where_it_cannot_be_had_it_says_what_that_means_and_what_would_help(
    layout: Layout, mocker: MockerFixture, answer: int, number: int, text: str, advice: str
) -> None:
    def syscall(*_: object) -> int:
        ctypes.set_errno(number)
        return answer

    libc = mocker.patch.object(confining.ctypes, "CDLL").return_value
    libc.syscall.side_effect = syscall
    finding = found(layout, text)
    assert (Severity.NOTE, True, True) == (
        finding.severity,
        "written outside of the new deployment" in finding.meaning,
        advice in finding.advice,
    )
