"""What the portal gives away to a session, which may run anybody's code: nothing to keep."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.portal_stand import Guest, PortalStand
from support.portal_steps import run_server


@pytest.fixture
def slow_sessions(stand: PortalStand) -> Iterator[None]:
    """Sessions that take their time later, in which a token that they were sent can be tried."""
    yield
    stand.manager.session_pause = 0.0


def sent_tokens(stand: PortalStand) -> list[str]:
    text = b"".join(one for one in stand.manager.heads if b"juliabox/packages" in one).decode()
    return re.findall(r"(?i)^authorization: token (\S+)\r$", text, re.M)


@pytest.mark.usefixtures("slow_sessions")
@pytest.mark.parametrize("server", ["", "lab"], ids=["default", "named"])
def test_a_session_is_sent_a_token_that_opens_that_session_and_nothing_else(
    stand: PortalStand, person: Callable[[str], Guest], server: str
) -> None:
    guest = person(f"visited{server}")
    run_server(stand, guest, server)
    stand.manager.heads.clear()
    stand.manager.session_pause = 9.0  # the portal waits for 10 s
    asking = threading.Thread(target=guest.api, args=("GET", f"packages/{server}"))
    asking.start()
    (token,) = stand.wait_for(lambda: sent_tokens(stand))
    told = stand.api("GET", "/user", token).json()
    opened = {one for one in told["scopes"] if not one.startswith("read:")}
    assert opened == {f"access:servers!server={guest.name}/{server}"}
    assert stand.api("POST", f"/users/{guest.name}/tokens", token).status_code == 403
    assert stand.api("DELETE", f"/users/{guest.name}/server", token).status_code in {403, 404}
    stand.manager.session_pause = 0.0
    asking.join()
    assert stand.api("GET", "/user", token).status_code == 403
    listed = guest.api("GET", "tokens").json()["tokens"]
    assert "visit of the portal" not in {one["note"] for one in listed}


@pytest.mark.usefixtures("slow_sessions")
def test_a_session_that_hangs_is_asked_once_however_often_its_person_wants_to_know(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("impatient")
    run_server(stand, guest)
    stand.manager.heads.clear()
    stand.manager.session_pause = 4.0
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(guest.api, "GET", "packages/") for _ in range(20)]
        answers = [one.result() for one in asked]
    assert {one.status_code for one in answers} == {200}
    assert len(sent_tokens(stand)) < 5
