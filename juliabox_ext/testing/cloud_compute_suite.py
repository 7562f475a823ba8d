"""What every provider of ``cloud.compute`` does."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from juliabox_ext.cloud import Compute, Stat
from juliabox_ext.errors import NotFoundError, RequestError

UNKNOWN = "no-such-instance"
PLACES = (
    "get_instance_public_hostname",
    "get_instance_local_hostname",
    "get_instance_public_ip",
    "get_instance_local_ip",
)


class ComputeSuite:
    """Derive from it and give the fixture; every test has an installation without figures."""

    #: Seconds between two figures that the plugin tells apart.
    resolution: ClassVar[float] = 0.0

    @pytest.fixture
    def compute(self) -> Compute:
        raise NotImplementedError("return a configured plugin whose own instance runs")

    def test_installation_and_instance_have_identifiers(self, compute: Compute) -> None:
        assert compute.get_install_id()
        assert compute.get_instance_id()
        assert compute.get_alias_hostname()

    def test_the_own_instance_is_among_all(self, compute: Compute) -> None:
        found = compute.get_all_instances()
        assert compute.get_instance_id() in found
        assert found == sorted(set(found))

    def test_an_unknown_group_has_no_instances(self, compute: Compute) -> None:
        assert compute.get_all_instances("no-such-group") == []

    @pytest.mark.parametrize("method", PLACES)
    def test_no_instance_named_means_the_own(self, compute: Compute, method: str) -> None:
        ask = getattr(compute, method)
        assert isinstance(ask(), str)
        assert ask() == ask(compute.get_instance_id())

    def test_every_instance_can_be_reached_from_within(self, compute: Compute) -> None:
        for instance in compute.get_all_instances():
            assert compute.get_instance_local_hostname(instance)
            assert compute.get_instance_local_ip(instance)

    @pytest.mark.parametrize("method", [*PLACES, "get_image_recentness", "terminate_instance"])
    def test_an_unknown_instance_is_told(self, compute: Compute, method: str) -> None:
        with pytest.raises(NotFoundError, match=UNKNOWN):
            getattr(compute, method)(UNKNOWN)

    def test_a_figure_is_found_again(self, compute: Compute) -> None:
        me = compute.get_instance_id()
        compute.publish_stats("Sessions", "Count", 3)
        stat = compute.get_instance_stats(me, "Sessions")
        assert stat is not None
        assert (stat.value, stat.unit) == (3.0, "Count")
        assert abs(datetime.now(UTC) - stat.time) < timedelta(minutes=2)
        assert compute.get_cluster_stats("Sessions") == {me: stat}

    def test_the_newest_figure_counts(self, compute: Compute) -> None:
        compute.publish_stats("Load", "Percent", 10.5)
        time.sleep(self.resolution)
        compute.publish_stats("Load", "Percent", 20.25)
        stat = compute.get_instance_stats(compute.get_instance_id(), "Load")
        assert stat is not None and stat.value == 20.25

    def test_a_figure_that_nobody_recorded_is_absent(self, compute: Compute) -> None:
        compute.publish_stats("Load", "Percent", 1)
        assert compute.get_instance_stats(compute.get_instance_id(), "Other") is None
        assert compute.get_cluster_stats("Other") == {}
        assert compute.get_cluster_average_stats("Other") is None
        assert compute.get_instance_stats(UNKNOWN, "Load") is None

    def test_another_namespace_has_no_figures(self, compute: Compute) -> None:
        compute.publish_stats("Load", "Percent", 1)
        assert compute.get_instance_stats(compute.get_instance_id(), "Load", "another") is None
        assert compute.get_cluster_stats("Load", "another") == {}

    def test_the_mean_is_that_of_all_instances_or_of_given_figures(self, compute: Compute) -> None:
        compute.publish_stats("Load", "Percent", 40)
        assert compute.get_cluster_average_stats("Load") == 40.0
        now = datetime.now(UTC)
        given = {"a": Stat(10, "Percent", now), "b": Stat(30, "Percent", now)}
        assert compute.get_cluster_average_stats("Load", results=given) == 20.0
        assert compute.get_cluster_average_stats("Load", results={}) is None

    @pytest.mark.parametrize(
        ("name", "unit", "value"),
        [
            ("Load", "Miles", 1.0),
            ("Load", "Percent", float("nan")),
            ("Load", "Percent", float("inf")),
            ("", "Percent", 1.0),
            ("../Load", "Percent", 1.0),
        ],
        ids=["unknown_unit", "no_number", "infinite", "no_name", "name_with_a_path"],
    )
    def test_what_is_no_figure_is_refused(
        self, compute: Compute, name: str, unit: str, value: float
    ) -> None:
        with pytest.raises(RequestError):
            compute.publish_stats(name, unit, value)

    def test_the_leader_and_the_last_instance_never_end(self, compute: Compute) -> None:
        assert compute.can_terminate(True) is False
        if len(compute.get_all_instances()) == 1:
            assert compute.can_terminate(False) is False

    def test_a_new_instance_takes_sessions_and_a_full_one_does_not(self, compute: Compute) -> None:
        assert compute.should_accept_session(True) is True
        compute.publish_stats("Load", "Percent", 100)
        assert compute.should_accept_session(False) is False

    def test_a_session_is_sent_to_a_running_instance_or_nowhere(self, compute: Compute) -> None:
        compute.publish_stats("Load", "Percent", 100)
        target = compute.get_redirect_instance_id()
        assert target is None or target in compute.get_all_instances()

    def test_an_instance_that_was_just_made_has_the_newest_image(self, compute: Compute) -> None:
        assert compute.get_image_recentness() == 0
