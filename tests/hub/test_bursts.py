"""Many starts at once at a real hub: none fails, order is kept, others are answered meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from juliabox_manager import protocol as p
from support.hub_stand import HubStand

PEOPLE = [f"pupil{number:02}" for number in range(50)]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStand]:
    """A hub with a class of fifty."""
    folder = tmp_path_factory.mktemp("class")
    with HubStand(folder, idle_timeout=0, concurrent_starts=4) as running:
        people = {"usernames": PEOPLE}
        assert running.api("POST", "/users", json=people).status_code == 201
        yield running


@pytest.fixture(autouse=True)
def emptied(stand: HubStand) -> Iterator[None]:
    """Leave no session, and room for all."""
    yield
    stand.manager.capacity = None
    stand.manager.pace = 0.0
    with ThreadPoolExecutor(10) as many:
        list(many.map(lambda name: stand.api("DELETE", f"/users/{name}/server"), PEOPLE))
    stand.wait_for(lambda: not stand.manager.sessions)
    stand.manager.verbs.clear()


def start_all(stand: HubStand, names: list[str]) -> list[Any]:
    with ThreadPoolExecutor(len(names)) as many:
        return list(many.map(lambda name: stand.api("POST", f"/users/{name}/server"), names))


def ready(stand: HubStand, name: str) -> bool:
    servers = stand.api("GET", f"/users/{name}").json()["servers"]
    return bool(servers.get("", {}).get("ready"))


def test_fifty_at_once_all_start(stand: HubStand) -> None:
    stand.manager.pace = 0.01
    begun = len(stand.log)
    answers = start_all(stand, PEOPLE)
    assert {answer.status_code for answer in answers} <= {201, 202}, [a.text for a in answers]
    stand.wait_for(lambda: all(ready(stand, name) for name in PEOPLE), 120)
    assert len(stand.manager.sessions) == 50
    assert "Traceback" not in stand.log[begun:]


def test_those_without_room_wait_are_told_their_place_and_start_in_order(stand: HubStand) -> None:
    stand.manager.capacity = 2
    for name in PEOPLE[:2]:
        assert stand.api("POST", f"/users/{name}/server").status_code == 201
    waiting = PEOPLE[2:5]
    streams: dict[str, str] = {}

    def follow(name: str) -> None:
        streams[name] = stand.api("GET", f"/users/{name}/server/progress").text

    threads = []
    for name in waiting:
        # each asks before the next does
        threads.append(threading.Thread(target=stand.api, args=("POST", f"/users/{name}/server")))
        threads[-1].start()
        stand.wait_for(lambda name=name: pending(stand, name))
        threads.append(threading.Thread(target=follow, args=(name,)))
        threads[-1].start()
    figures = stand.wait_for(lambda: metrics(stand, waiting=3))
    assert "juliabox_hub_starts_waiting 3.0" in figures
    stand.manager.verbs.clear()
    for name in PEOPLE[:3]:
        assert stand.api("DELETE", f"/users/{name}/server").status_code == 204
        stand.wait_for(lambda: len(stand.manager.sessions) == 2)
    for thread in threads:
        thread.join(60)
    made = [verb.owner for verb in stand.manager.asked(p.SessionCreate)]
    assert list(dict.fromkeys(made)) == waiting
    assert "You are number 3 in the queue. All servers that can run" in streams[waiting[2]]
    assert all('"ready": true' in stream for stream in streams.values())


def test_whoever_cancels_leaves_the_queue_to_the_others(stand: HubStand) -> None:
    stand.manager.capacity = 1
    ada, bob, eve = PEOPLE[:3]
    assert stand.api("POST", f"/users/{ada}/server").status_code == 201
    threads = []
    for name in (bob, eve):
        threads.append(threading.Thread(target=stand.api, args=("POST", f"/users/{name}/server")))
        threads[-1].start()
        stand.wait_for(lambda name=name: pending(stand, name))
    stand.wait_for(lambda: metrics(stand, waiting=2))
    assert stand.api("DELETE", f"/users/{bob}/server").status_code == 204
    assert stand.api("DELETE", f"/users/{ada}/server").status_code == 204
    stand.wait_for(lambda: ready(stand, eve))
    for thread in threads:
        thread.join(60)
    assert {info.owner for info in stand.manager.sessions.values()} == {eve}


def pending(stand: HubStand, name: str) -> bool:
    servers = stand.api("GET", f"/users/{name}").json()["servers"]
    return servers.get("", {}).get("pending") == "spawn"


def metrics(stand: HubStand, waiting: int) -> str:
    """Return the hub's metrics once so many starts wait."""
    text = stand.api("GET", "/../metrics").text
    return text if f"juliabox_hub_starts_waiting {waiting}.0" in text else ""
