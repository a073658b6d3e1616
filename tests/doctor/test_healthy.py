"""What doctor says of a target that is as it should be, and of one made by hand."""

from pathlib import Path

from damage import NotMine, by_hand, found, problems, shared, untimed
from targets import listing
from tierctl.doctor import Severity, diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import exists
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tools import require_root


class TestHealthy:
    def test_what_bootstrap_makes_is_well_in_every_respect(self, template: Layout) -> None:
        findings = diagnose(Target(OsFileSystem(), template))
        assert {Severity.OK} == {finding.severity for finding in findings}
        subjects = {
            "links",
            "permissions",
            "records",
            "guarantee",
            "clock",
            "deployments",
            "kernel",
        }
        assert subjects == {finding.subject for finding in findings}

    def test_what_older_scripts_made_has_no_problem(self, tmp_path: Path) -> None:
        layout = by_hand(tmp_path)
        assert [] == problems(layout)
        assert not exists(OsFileSystem(), layout.control)

    def test_where_nothing_can_be_tried_out_it_is_foretold(self, tmp_path: Path) -> None:
        finding = found(by_hand(tmp_path), "not tried out, by the type of the filesystem ")
        assert Severity.NOTE is finding.severity

    def test_what_a_group_shares_has_no_problem(self, tmp_path: Path) -> None:
        require_root()
        assert [] == problems(shared(tmp_path))

    def test_a_diagnose_leaves_everything_as_it_was(self, layout: Layout) -> None:
        before = untimed(listing(layout.top))
        diagnose(Target(OsFileSystem(), layout))
        assert before == untimed(listing(layout.top))

    def test_without_probing_it_writes_not_one_byte(self, layout: Layout) -> None:
        before = listing(layout.top)
        findings = diagnose(Target(OsFileSystem(), layout), probe=False)
        assert before == listing(layout.top)
        assert any("not tried out" in finding.text for finding in findings)

    def test_without_the_right_to_write_it_writes_not_one_byte(self, layout: Layout) -> None:
        before = listing(layout.top)
        finding = found(layout, "not tried out: no permission to write to ", NotMine())
        assert before == listing(layout.top)
        assert Severity.NOTE is finding.severity
        assert (
            Severity.NOTE
            is found(layout, "may change this target; you may not", NotMine()).severity
        )
