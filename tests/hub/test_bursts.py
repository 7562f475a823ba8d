"""Many starts at once at a real hub: none fails, order is kept, others are answered meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
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


def start(stand: HubStand, name: str) -> None:
    """Start a server, and wait until it is there."""
    assert stand.api("POST", f"/users/{name}/server").status_code in {201, 202}
    stand.wait_for(lambda: ready(stand, name))


def ready(stand: HubStand, name: str) -> bool:
    servers = stand.api("GET", f"/users/{name}").json()["servers"]
    return bool(servers.get("", {}).get("ready"))


def test_fifty_at_once_all_start(stand: HubStand) -> None:
    stand.manager.pace = 0.01
    before = stand.log.count("Traceback")
    answers = start_all(stand, PEOPLE)
    assert {answer.status_code for answer in answers} <= {201, 202}, [a.text for a in answers]
    stand.wait_for(lambda: all(ready(stand, name) for name in PEOPLE), 120)
    assert len(stand.manager.sessions) == 50
    assert stand.log.count("Traceback") == before


def ask(stand: HubStand, name: str, place: int) -> threading.Thread:
    """Start a server from a thread, and wait until it stands at its place in the queue."""
    thread = threading.Thread(target=stand.api, args=("POST", f"/users/{name}/server"))
    thread.start()
    stand.wait_for(lambda: metrics(stand, waiting=place))
    return thread


def follow(stand: HubStand, name: str, told: list[str]) -> None:
    """Note what the page of a start is told, as it comes, until the start is over."""
    url = f"{stand.url}/hub/api/users/{name}/server/progress"
    headers = {"Authorization": f"token {stand.tokens['operator_token']}"}
    with httpx.stream("GET", url, headers=headers, timeout=60) as stream:
        told.extend(line for line in stream.iter_lines())


def test_those_without_room_wait_are_told_their_place_and_start_in_order(stand: HubStand) -> None:
    stand.manager.capacity = 2
    for name in PEOPLE[:2]:
        start(stand, name)
    waiting = PEOPLE[2:5]
    streams: dict[str, list[str]] = {name: [] for name in waiting}
    threads = []
    for place, name in enumerate(waiting, start=1):
        threads.append(ask(stand, name, place))
        threads.append(threading.Thread(target=follow, args=(stand, name, streams[name])))
        threads[-1].start()
    # whoever comes to the page later is told the place of then
    third = "You are number 3 in the queue. All servers that can run"
    stand.wait_for(lambda: any(third in line for line in list(streams[waiting[2]])))
    stand.manager.verbs.clear()
    for gone, comes in zip(PEOPLE[:3], waiting, strict=True):
        assert stand.api("DELETE", f"/users/{gone}/server").status_code in {202, 204}
        stand.wait_for(lambda name=comes: ready(stand, name))
    for thread in threads:
        thread.join(60)
    made = [verb.owner for verb in stand.manager.asked(p.SessionCreate)]
    assert list(dict.fromkeys(made)) == waiting
    assert all(any('"ready": true' in line for line in told) for told in streams.values())


def test_whoever_cancels_leaves_the_queue_to_the_others(stand: HubStand) -> None:
    stand.manager.capacity = 1
    ada, bob, eve = PEOPLE[:3]
    start(stand, ada)
    threads = [ask(stand, bob, 1), ask(stand, eve, 2)]
    for name in (bob, ada):
        assert stand.api("DELETE", f"/users/{name}/server").status_code in {202, 204}
    stand.wait_for(lambda: ready(stand, eve))
    for thread in threads:
        thread.join(60)
    assert {info.owner for info in stand.manager.sessions.values()} == {eve}


def metrics(stand: HubStand, waiting: int) -> str:
    """Return the hub's metrics once so many starts wait."""
    text = stand.api("GET", "/../metrics").text
    return text if f"juliabox_hub_starts_waiting {waiting}.0" in text else ""
