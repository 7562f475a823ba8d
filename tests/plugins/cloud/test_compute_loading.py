"""The loading pattern, as a pure function of what an instance knows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juliabox_plugins.compute_loading import (
    FULL,
    Node,
    Snapshot,
    accepts,
    adds_instance,
    may_end,
    mean_load,
    redirects_to,
    target,
)

AT = 70.0
UPTIME = 3000.0


def seen(me: str = "a", **loads: float) -> Snapshot:
    return Snapshot(me, {name: Node(load) for name, load in loads.items()})


def aged(snapshot: Snapshot, **recentness: int) -> Snapshot:
    nodes = {
        name: replace(node, recentness=recentness.get(name, 0))
        for name, node in snapshot.nodes.items()
    }
    return replace(snapshot, nodes=nodes)


def empty(me: str = "a", **loads: float) -> Snapshot:
    return replace(seen(me, **loads), uptime=UPTIME, containers=0)


nodes = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.builds(
        Node,
        st.one_of(st.floats(0, 120), st.sampled_from([0.0, 50.0, 99.9, 100.0])),
        st.integers(-1, 1),
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    found = draw(nodes)
    return Snapshot(
        draw(st.sampled_from(sorted(found))),
        found,
        draw(st.booleans()),
        draw(st.sampled_from([0.0, UPTIME])),
        draw(st.sampled_from([0, 1, None])),
    )


@given(snapshots())
def test_as_long_as_one_has_room_somebody_takes_the_session(snapshot: Snapshot) -> None:
    takers = [name for name in snapshot.nodes if accepts(replace(snapshot, me=name, leader=False))]
    assert bool(takers) == any(node.load < FULL for node in snapshot.nodes.values())


@given(snapshots())
def test_a_session_that_is_sent_elsewhere_is_taken_there(snapshot: Snapshot) -> None:
    other = redirects_to(snapshot)
    if other is not None:
        assert other != snapshot.me
        assert accepts(replace(snapshot, me=other, leader=False))
        assert redirects_to(replace(snapshot, me=other)) is None


@given(snapshots())
def test_who_does_not_accept_sends_elsewhere_unless_all_are_full(snapshot: Snapshot) -> None:
    if not accepts(snapshot) and redirects_to(snapshot) is None:
        assert snapshot.myself.load >= FULL
        assert all(node.load >= FULL for node in snapshot.current.values())


@given(snapshots())
def test_a_full_instance_never_accepts(snapshot: Snapshot) -> None:
    assert not (accepts(snapshot) and snapshot.myself.load >= FULL)


@given(snapshots())
def test_an_old_image_gets_nothing_while_others_have_room(snapshot: Snapshot) -> None:
    others = [node for node in snapshot.nodes.values() if node.recentness >= 0]
    if snapshot.myself.recentness < 0 and any(node.load < FULL for node in others):
        assert not accepts(snapshot)


@given(snapshots())
def test_the_leader_the_last_a_busy_and_a_young_instance_never_end(snapshot: Snapshot) -> None:
    if may_end(snapshot, UPTIME, AT):
        assert not snapshot.leader
        assert len(snapshot.nodes) > 1
        assert snapshot.containers == 0
        assert snapshot.uptime >= UPTIME


@given(snapshots())
def test_what_ends_is_not_added_again_at_once(snapshot: Snapshot) -> None:
    if may_end(snapshot, UPTIME, AT) and snapshot.myself.recentness == 0:
        rest = {name: one for name, one in snapshot.nodes.items() if name != snapshot.me}
        assert not adds_instance(replace(snapshot, me=min(rest), nodes=rest), AT)


@given(nodes)
def test_when_all_are_asked_one_after_the_other_one_stays(found: dict[str, Node]) -> None:
    running = dict(found)
    for name in list(running):
        if may_end(Snapshot(name, running, False, UPTIME, 0), UPTIME, AT):
            del running[name]
    assert running


@pytest.mark.parametrize(
    ("snapshot", "chosen"),
    [
        (seen(a=0, b=0), "a"),
        (seen(a=90, b=0, c=10), "a"),
        (seen(a=100, b=0, c=0), "b"),
        (seen(a=90, b=20, c=60), "b"),
        (seen(a=60, b=60), "a"),
        (seen(a=100, b=100), None),
        (aged(seen(a=0, b=10), a=-1), "b"),
        (aged(seen(a=0, b=100), a=-1), None),
    ],
    ids=[
        "none_is_used", "first_has_room", "first_is_full", "spread_from_half", "all_alike",
        "all_full", "old_image", "old_image_alone_has_room",
    ],
)  # fmt: skip
def test_the_next_session_goes(snapshot: Snapshot, chosen: str | None) -> None:
    assert target(snapshot) == chosen


def test_above_half_load_the_busy_keep_what_comes_to_them() -> None:
    loads = {"a": 80.0, "b": 30.0, "c": 70.0}
    assert [accepts(seen(name, **loads)) for name in "abc"] == [True, True, True]
    assert redirects_to(seen("a", **loads)) == "b"


def test_below_half_load_only_the_first_takes_sessions() -> None:
    loads = {"a": 60.0, "b": 0.0, "c": 0.0}
    assert [accepts(seen(name, **loads)) for name in "abc"] == [True, False, False]
    assert accepts(replace(seen("b", **loads), leader=True))
    assert accepts(aged(seen("c", **loads), c=1))


def test_an_instance_ends_when_the_rest_can_carry_the_load() -> None:
    assert may_end(empty(a=0, b=60), UPTIME, AT)
    assert not may_end(empty(a=0, b=75), UPTIME, AT)
    assert not may_end(empty(a=0), UPTIME, AT)
    assert not may_end(replace(empty(a=0, b=0), uptime=UPTIME - 1), UPTIME, AT)
    assert not may_end(replace(empty(a=0, b=0), containers=None), UPTIME, AT)
    assert may_end(aged(empty(a=0, b=99), a=-1), UPTIME, AT)
    assert not may_end(aged(empty(a=0, b=0), a=1), UPTIME, AT)
    assert not may_end(aged(empty(a=0, b=0), b=-1), UPTIME, AT)


def test_an_instance_that_is_not_listed_yet_takes_sessions() -> None:
    assert accepts(Snapshot("a", {}))
    assert redirects_to(Snapshot("a", {})) is None
    assert mean_load({}) == 0.0


def test_a_thousand_instances_are_filled_from_the_first() -> None:
    loads = {f"i{number:04}": 0.0 for number in range(1000)}
    for sessions in range(1, 101):
        chosen = target(Snapshot("x", {name: Node(load) for name, load in loads.items()}))
        assert chosen is not None
        loads[chosen] += 20
        used = [name for name, load in loads.items() if load]
        assert used == [f"i{number:04}" for number in range(-(-sessions // 5))]
