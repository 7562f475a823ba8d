"""The arithmetic of the benchmarks, and what is compared with what was recorded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import recorded
from benchmarks.figures import Comparison, amount, at_most, percentile, spread, times_faster


def pairs(*ratios: float) -> Comparison:
    """Return pairs of these ratios, on machines of different speed."""
    peer = [1.0 + number for number in range(len(ratios))]
    ours = [ratio * one for ratio, one in zip(ratios, peer, strict=True)]
    return Comparison("warm.1", "one, warm", ours, peer)


def test_a_ratio_is_the_geometric_mean_of_the_pairs() -> None:
    ratio = pairs(0.5, 2.0).ratio
    assert ratio.middle == pytest.approx(1.0)
    assert ratio.low < 0.5 and ratio.high == pytest.approx(1 / ratio.low)


def test_equal_ratios_leave_no_doubt() -> None:
    assert pairs(0.25, 0.25, 0.25).ratio == pytest.approx((0.25, 0.25, 0.25))


def test_the_interval_of_four_pairs_is_that_of_students_t() -> None:
    logs = [math.log(one) for one in (0.1, 0.11, 0.12, 0.13)]
    mean = sum(logs) / 4
    deviation = math.sqrt(sum((one - mean) ** 2 for one in logs) / 3)
    half = 3.182446 * deviation / 2
    ratio = pairs(0.1, 0.11, 0.12, 0.13).ratio
    assert ratio.low == pytest.approx(math.exp(mean - half))
    assert ratio.high == pytest.approx(math.exp(mean + half))


def test_one_pair_proves_nothing() -> None:
    one = pairs(9.0)
    assert one.ratio == pytest.approx((9.0, 0.0, math.inf))
    assert str(one.ratio) == "9"
    assert not recorded.worse([one], {"warm.1": 0.1})
    assert not times_faster("start", pairs(0.01).ratio, 8).met


@pytest.mark.parametrize(
    ("found", "fails"),
    [
        pytest.param([0.10, 0.10, 0.10], False, id="the same"),
        pytest.param([0.05, 0.05, 0.05], False, id="better"),
        pytest.param([0.119, 0.119, 0.119], False, id="within a fifth"),
        pytest.param([0.13, 0.13, 0.13], True, id="worse by more than a fifth"),
        pytest.param([0.08, 0.13, 0.30], False, id="too spread to tell"),
    ],
)
def test_a_ratio_fails_if_its_whole_interval_is_a_fifth_above_the_recorded(
    found: list[float], fails: bool
) -> None:
    sentences = recorded.worse([pairs(*found)], {"warm.1": 0.1})
    assert bool(sentences) is fails
    assert all("one, warm" in one and "recorded is 0.1" in one for one in sentences)


def test_what_was_never_recorded_cannot_fail() -> None:
    assert not recorded.worse([pairs(9.0, 9.0)], {"stop": 0.1})


def test_recording_keeps_the_ratios_of_other_benchmarks(tmp_path: Path) -> None:
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps({"stop": 0.5, "warm.1": 0.2}))
    recorded.record([pairs(0.1, 0.1)], path)
    assert recorded.load(path) == {"stop": 0.5, "warm.1": 0.1}


@pytest.mark.parametrize(
    ("ratios", "met"),
    [
        pytest.param([0.1, 0.1, 0.1], True, id="ten times"),
        pytest.param([0.12, 0.12, 0.12], True, id="a little more than eight times"),
        pytest.param([0.05, 0.10, 0.20], False, id="ten times on average, but spread"),
    ],
)
def test_times_faster_must_hold_for_the_whole_interval(ratios: list[float], met: bool) -> None:
    assert times_faster("start", pairs(*ratios).ratio, 8).met is met


def test_a_limit_that_must_be_undercut_is_not_met_by_itself() -> None:
    assert at_most("start", 0.5, 0.5, "s").met
    assert not at_most("stop", 0.3, 0.3, "s", less=True).met


@pytest.mark.parametrize(
    ("part", "value"),
    [
        pytest.param(0.5, 50, id="half"),
        pytest.param(0.99, 99, id="nearly all"),
        pytest.param(1.0, 100, id="all"),
        pytest.param(0.0, 1, id="none"),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(part: float, value: int) -> None:
    assert percentile(range(100, 0, -1), part) == value


def test_values_are_written_with_as_many_digits_as_can_be_trusted() -> None:
    assert [amount(one, "s") for one in (0.0452, 1.234, 12.34, 123.4)] == [
        "45 ms", "1.23 s", "12.3 s", "123 s",
    ]  # fmt: skip
    assert spread([3.0, 1.0, 2.0], "MiB") == "2.00 MiB (1.00 MiB to 3.00 MiB)"
