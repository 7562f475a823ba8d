"""Rates of callers."""

from __future__ import annotations

import pytest

from juliabox_services.api.main import room_of
from juliabox_services.api.rates import Rates, Room, TooMany
from juliabox_services.api.settings import Bounds


class Clock:
    """A clock that tests turn."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_calls_may_come_at_once_and_no_more() -> None:
    rates = Rates(clock=Clock())
    for _ in range(5):
        rates.spend("ada", 5)
    with pytest.raises(TooMany) as caught:
        rates.spend("ada", 5)
    assert caught.value.retry_after == 12
    rates.spend("bob", 5)


def test_a_caller_who_waits_as_told_is_admitted() -> None:
    clock = Clock()
    rates = Rates(clock=clock)
    for _ in range(7):
        rates.spend("ada", 7)
    for _ in range(20):
        with pytest.raises(TooMany) as caught:
            rates.spend("ada", 7)
        clock.now += caught.value.retry_after
        rates.spend("ada", 7)


def test_refused_calls_cost_nothing() -> None:
    clock = Clock()
    rates = Rates(clock=clock)
    rates.spend("ada", 1)
    for _ in range(100):
        with pytest.raises(TooMany):
            rates.spend("ada", 1)
    clock.now += 60
    rates.spend("ada", 1)


def test_a_flood_of_callers_takes_no_more_room() -> None:
    rates = Rates(most=10, clock=Clock())
    for number in range(1000):
        rates.spend(number, 1)
    assert len(rates._left) == 10


def test_what_is_given_back_can_be_spent_again_and_no_more_than_that() -> None:
    rates = Rates(clock=Clock())
    rates.spend("ada", 1)
    for _ in range(3):
        rates.give("ada", 1)
    rates.spend("ada", 1)
    with pytest.raises(TooMany):
        rates.spend("ada", 1)
    rates.give("bob", 1)
    assert "bob" not in rates._left


@pytest.mark.parametrize("bounds", [Bounds(body=2**30), Bounds(result=2**30), Bounds()])
def test_the_largest_body_and_the_largest_result_have_room(bounds: Bounds) -> None:
    room = room_of(bounds)
    assert room.take(max(bounds.body, bounds.result), "ada")
    assert room.take(max(bounds.body, bounds.result), "bob")


def test_room_is_taken_and_given_back_and_nobody_gets_all_of_it() -> None:
    room = Room(10, 6)
    assert room.take(6, "ada")
    assert not room.take(1, "ada")
    assert not room.take(5, "bob")
    assert room.take(4, "bob")
    room.give(6, "ada")
    room.give(4, "bob")
    assert room.take(5, "bob") and not Room(10).take(6, "ada")
