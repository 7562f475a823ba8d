"""How many containers there should be, and which makes way: without any container."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juliabox_services.api.pool import order_of
from juliabox_services.api.scaling import Pace, busy_victim, idle_victim, wanted
from juliabox_services.api.settings import Bounds
from support.engine_stand import version

MIB = 1024**2


@pytest.mark.parametrize(
    ("outstanding", "pace", "workers", "expected"),
    [
        pytest.param(0, 1.0, 1, 0, id="nothing_to_do"),
        pytest.param(1, 0.0, 1, 1, id="one_call"),
        pytest.param(16, 0.0, 1, 1, id="nothing_known_of_the_calls"),
        pytest.param(16, 0.0002, 1, 1, id="quick_calls"),
        pytest.param(16, 0.02, 1, 2, id="calls_of_a_moment"),
        pytest.param(16, 1.0, 1, 8, id="slow_calls_up_to_the_maximum"),
        pytest.param(5, 1.0, 1, 5, id="slow_calls_get_a_worker_each"),
        pytest.param(5, 1.0, 2, 3, id="two_workers_of_a_container"),
    ],
)
def test_slow_calls_are_worth_a_worker_and_quick_ones_are_not(
    outstanding: int, pace: float, workers: int, expected: int
) -> None:
    assert wanted(outstanding, pace, workers, 0, 8) == expected


def test_the_minimum_is_kept_though_nobody_calls() -> None:
    assert wanted(0, 0.0, 1, 2, 8) == 2
    assert wanted(0, 0.0, 1, 9, 8) == 8


@given(
    outstanding=st.integers(0, 10_000),
    pace=st.floats(0, 1000),
    workers=st.integers(1, 16),
    minimum=st.integers(0, 20),
    maximum=st.integers(1, 20),
)
def test_the_figure_is_within_its_bounds_and_never_more_than_calls_need(
    outstanding: int, pace: float, workers: int, minimum: int, maximum: int
) -> None:
    figure = wanted(outstanding, pace, workers, minimum, maximum)
    assert min(minimum, maximum) <= figure <= maximum
    assert figure <= max(min(minimum, maximum), outstanding)
    assert figure >= min(1, outstanding)


def test_the_first_call_of_a_worker_counts_only_while_nothing_better_is_known() -> None:
    pace = Pace()
    pace.took(2.0, first=True)
    assert (pace.seconds, pace.guess) == (0.0, 2.0)
    pace.took(0.001, first=False)
    assert (pace.seconds, pace.guess) == (0.001, 0.0)
    pace.took(2.0, first=True)
    assert (pace.seconds, pace.guess) == (0.001, 0.0)


def test_the_pace_follows_the_calls() -> None:
    pace = Pace()
    for _ in range(30):
        pace.took(0.1, first=False)
    for _ in range(30):
        pace.took(0.3, first=False)
    assert pace.seconds == pytest.approx(0.3, rel=0.01)


@dataclass
class One:
    """Stands for a container."""

    name: str
    idle_since: float | None = None
    current: bool = True
    companions: int = 1
    spare: bool = True


def test_the_idle_container_that_is_missed_least_makes_way() -> None:
    busy = One("busy")
    late, early = One("late", idle_since=9.0), One("early", idle_since=3.0)
    old = One("old", idle_since=99.0, current=False)
    kept = One("kept", idle_since=1.0, spare=False)
    assert idle_victim([busy, late, early, kept], urgent=False) is early
    assert idle_victim([late, early, old], urgent=False) is old
    assert idle_victim([busy, kept], urgent=False) is None
    assert idle_victim([busy, kept], urgent=True) is kept
    assert idle_victim([kept, late], urgent=True) is late


def test_the_busy_container_that_makes_way_has_the_most_companions() -> None:
    one, many = One("one"), One("many", companions=5)
    old = One("old", current=False)
    assert busy_victim([one, many]) is many
    assert busy_victim([one, many, old]) is old
    assert busy_victim([]) is None


@pytest.mark.parametrize(("most", "workers"), [(1024, 3), (512, 3), (320, 2), (256, 1)])
def test_a_ceiling_that_was_lowered_leaves_as_many_workers_as_it_has_room_for(
    most: int, workers: int
) -> None:
    bounds = Bounds(memory=256 * MIB, most_memory=most * MIB)
    order = order_of(version(workers=3, memory=1024 * MIB), bounds)
    assert (order.workers, order.limits.memory) == (workers, most * MIB)
