"""The change that a deploy ends in: where it leads, what is kept, and what is refused."""

import json

import pytest

from changed import Make, Scene
from targets import make_deployment
from tierctl import profiles
from tierctl.change.requests import Promotion, Rollback
from tierctl.deploy.switch import Deployment
from tierctl.errors import Exists, InvalidLink, NoSuchTier, Refused
from tierctl.fs.protocol import exists, read
from tierctl.journal.events import EventKind
from tierctl.rotation.state import Content
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target

ADOPTED, BUILT = 1, 2


def deployment(number: int) -> Content:
    return Content.of_deployment(number)


@pytest.fixture
def built(plain: Scene) -> Scene:
    """Two plain directories, and a deployment that is ready to be shown."""
    make_deployment(plain.layout, BUILT, fs=plain.fs)
    return plain


class TestStaging:
    def test_its_color_shows_the_new_deployment_and_nothing_else_moves(self, new: Scene) -> None:
        make_deployment(new.layout, 43, fs=new.fs)
        before = new.state
        outcome = new.carry_out(Deployment("staging", 43)).outcome
        assert before._replace(blue=deployment(43)) == new.state
        assert ["point blue to deployments/43"] == list(map(str, outcome.steps))
        assert [EventKind.DEPLOY] == [event.kind for event in new.events]

    def test_a_rollback_after_it_returns_to_what_production_served(self, moved: Scene) -> None:
        make_deployment(moved.layout, 43, fs=moved.fs)
        moved.carry_out(Deployment("staging", 43))
        moved.carry_out(Rollback())
        assert 41 == moved.served

    def test_it_is_the_color_that_staging_is_by_then(self, new: Scene) -> None:
        """A promotion while it was built: production's color stays as it is."""
        make_deployment(new.layout, 43, fs=new.fs)
        new.carry_out(Promotion())
        new.carry_out(Deployment("staging", 43))
        assert (42, deployment(43)) == (new.served, new.state.green)

    def test_killed_the_next_command_ends_it_and_stops(self, new: Scene) -> None:
        make_deployment(new.layout, 43, fs=new.fs)
        new.kill(Deployment("staging", 43), "rename", f"{new.layout.infrastructure}/.blue.new")
        heard = new.carry_out(Deployment("staging", 43))
        assert (deployment(43), 1) == (new.state.blue, len(new.events))
        assert new.events == [heard.recovery]


class TestProduction:
    @pytest.mark.parametrize("tier", ["production", "green"])
    def test_what_it_serves_is_never_deployed_into(self, new: Scene, tier: str) -> None:
        make_deployment(new.layout, 43, fs=new.fs)
        with pytest.raises(Refused):
            new.carry_out(Deployment(tier, 43))
        assert (41, False) == (new.served, new.is_noted)

    def test_nor_what_it_serves_since_the_deploy_began(self, new: Scene) -> None:
        make_deployment(new.layout, 43, fs=new.fs)
        new.carry_out(Promotion())
        with pytest.raises(Refused):
            new.carry_out(Deployment("blue", 43))
        assert 42 == new.served

    def test_where_it_does_not_exist_yet_both_colors_can_be_deployed_into(self, make: Make) -> None:
        target = make(production=None, blue=42, green=41)
        make_deployment(target.layout, 43, fs=target.fs)
        for color in ("blue", "green"):
            target.carry_out(Deployment(color, 43))
            assert deployment(43) == target.state.behind(color)


class TestPrivateTiers:
    def test_one_is_made_when_it_is_new_and_moved_when_it_is_not(self, new: Scene) -> None:
        for number in (43, 44):
            make_deployment(new.layout, number, fs=new.fs)
            new.carry_out(Deployment("dev1", number))
            seen = observe(Target(new.fs, new.layout), ["dev1"])
            assert deployment(number) == seen.behind("dev1")
        newest, oldest = new.events
        assert oldest.before is not None
        assert oldest.before.behind("dev1") is None
        assert newest.moves("dev1")
        assert not newest.moves("staging")

    def test_a_change_of_something_else_first_ends_it(self, new: Scene) -> None:
        make_deployment(new.layout, 43, fs=new.fs)
        path = f"{new.layout.infrastructure}/.dev1.new"
        new.kill(Deployment("dev1", 43), "rename", path)
        new.carry_out(Promotion())
        assert deployment(43) == observe(Target(new.fs, new.layout), ["dev1"]).behind("dev1")
        assert (42, 2) == (new.served, len(new.events))
        assert not exists(new.fs, path)

    def test_a_plain_directory_is_refused(self, new: Scene) -> None:
        make_deployment(new.layout, 43, fs=new.fs)
        new.fs.make_directory(new.layout.within("dev1"), 0o755)
        with pytest.raises(InvalidLink, match="plain directory"):
            new.carry_out(Deployment("dev1", 43, spare=42))
        assert [] == new.fs.names(new.layout.within("dev1"))


class TestAdoption:
    def test_a_plain_directory_is_kept_whole_as_a_finished_deployment(self, built: Scene) -> None:
        built.fs.write(f"{built.layout.within('blue')}/mark", b"plain")
        built.carry_out(Deployment("staging", BUILT, spare=ADOPTED))
        kept = built.layout.within(f"deployments/{ADOPTED}")
        assert (deployment(BUILT), b"plain") == (built.state.blue, read(built.fs, f"{kept}/mark"))
        record = json.loads(
            read(built.fs, built.layout.deployment_record(f"deployments/{ADOPTED}"))
        )
        assert (ADOPTED, "blue") == (record["number"], record["adopted"])

    def test_its_profiles_say_where_it_is_now(self, built: Scene) -> None:
        layout, fs = built.layout, built.fs
        etc = f"{layout.within('blue')}/etc"
        fs.make_directory(etc, 0o755)
        for name, text in profiles.files(layout, "blue").items():
            fs.write(f"{etc}/{name}", text.encode())
        fs.write(f"{etc}/profile.csh", b"# my own\n")
        built.carry_out(Deployment("blue", BUILT, spare=ADOPTED))
        assert written(built, layout) == {
            **profiles.files(layout, f"deployments/{ADOPTED}"),
            "profile.csh": "# my own\n",
        }

    def test_a_rollback_returns_to_it(self, built: Scene) -> None:
        """Production has served blue, and staging's color is deployed into since."""
        built.carry_out(Promotion())
        built.carry_out(Promotion())
        built.carry_out(Deployment("staging", BUILT, spare=ADOPTED))
        assert Content("green") == built.state.served
        built.carry_out(Rollback(to=ADOPTED))
        assert ADOPTED == built.served

    def test_the_way_back_to_it_is_found_by_itself(self, built: Scene) -> None:
        built.carry_out(Promotion())
        assert Content("green") == built.events[0].past.way_back
        built.carry_out(Deployment("staging", BUILT, spare=ADOPTED))
        assert deployment(ADOPTED) == built.events[0].past.way_back
        built.carry_out(Rollback())
        assert ADOPTED == built.served

    def test_without_a_number_for_it_nothing_is_done(self, built: Scene) -> None:
        with pytest.raises(InvalidLink, match="has become a plain directory"):
            built.carry_out(Deployment("staging", BUILT))
        assert Content("blue") == built.state.blue

    def test_a_number_that_is_taken_is_not_overwritten(self, built: Scene) -> None:
        make_deployment(built.layout, ADOPTED, fs=built.fs)
        before = built.state
        with pytest.raises(Exists, match="something already"):
            built.carry_out(Deployment("staging", BUILT, spare=ADOPTED))
        assert before == built.state


def written(target: Scene, layout: Layout) -> dict[str, str]:
    etc = layout.within(f"deployments/{ADOPTED}/etc")
    return {name: read(target.fs, f"{etc}/{name}").decode() for name in target.fs.names(etc)}


def test_a_deployment_that_is_not_finished_is_not_shown(new: Scene) -> None:
    make_deployment(new.layout, 43, finished=False, fs=new.fs)
    with pytest.raises(NoSuchTier, match="never finished"):
        new.carry_out(Deployment("staging", 43))
    assert 42 == new.state.staged.deployment


def test_a_dry_run_shows_the_steps_and_writes_nothing(built: Scene) -> None:
    outcome = built.preview(Deployment("staging", BUILT, spare=ADOPTED)).outcome
    assert Content("blue") == built.state.blue
    assert outcome.after.adopted == ADOPTED
    assert not exists(built.fs, built.layout.control)
