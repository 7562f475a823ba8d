"""Who may do what to an account, where a role, a name or a host is not quite the right one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from juliabox_manager.protocol import VolumeRemove
from support.fresh_http import FreshConnections
from support.hub_stand import HubStand
from support.visitor import Visitor, add_person

ROLES = """
c.JupyterHub.load_groups = {"team": {"users": ["member", "lead"]}}
c.JupyterHub.services = [
    *c.JupyterHub.services, {"name": "registry", "api_token": "registry-token-of-the-test"}
]
c.JupyterHub.load_roles = [
    *c.JupyterHub.load_roles,
    {"name": "lead", "scopes": ["admin-ui", "admin:users!group=team"], "users": ["lead"]},
    {"name": "registry", "scopes": ["admin:users"], "services": ["registry"]},
]
"""


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStand]:
    """A hub with a leader of one group, and a service that may manage users."""
    stand = HubStand(tmp_path_factory.mktemp("ruled"))
    (stand.folder / "jupyterhub_config.d" / "roles.py").write_text(ROLES)
    with stand:
        yield stand


def _set_up(stand: HubStand, name: str) -> Visitor:
    visitor = Visitor(stand)
    answer = stand.api("POST", f"/users/{name}/password").json()
    assert visitor.log_in(name, answer["password"]).status_code == 302
    return visitor


def test_the_leader_of_a_group_has_no_power_over_accounts_outside_it(ruled: HubStand) -> None:
    stranger = Visitor(ruled)
    form = {"new_password": "a-fine-long-one", "new_password_confirmation": "a-fine-long-one"}
    assert stranger.post("/hub/signup", {"username": "stranger", **form}).status_code == 200
    lead = _set_up(ruled, "lead")
    assert lead.get("/hub/authorize").status_code == 403
    sent = {"username": "stranger", "action": "authorize"}
    refused = lead.post("/hub/authorize", sent, page="/hub/change-password")
    assert refused.status_code == 403
    assert stranger.log_in("stranger", "a-fine-long-one").status_code == 403
    assert lead.post("/hub/change-password/member", form).status_code == 200
    assert lead.get("/hub/change-password/admin").status_code in {403, 404}


def test_whoever_manages_users_cannot_become_admin_by_setting_an_admin_s_password(
    ruled: HubStand,
) -> None:
    def set_password(name: str, token: str) -> int:
        body = {"password": "a-fine-long-one"}
        return ruled.api("POST", f"/users/{name}/password", token=token, json=body).status_code

    assert set_password("member", "registry-token-of-the-test") == 204
    assert set_password("admin", "registry-token-of-the-test") == 403
    made = ruled.api("POST", "/users/admin/tokens", json={"scopes": ["admin:users"]})
    assert set_password("admin", made.json()["token"]) == 403
    assert Visitor(ruled).log_in("admin").status_code == 302


def test_a_body_of_another_shape_is_a_clear_400(ruled: HubStand) -> None:
    assert ruled.api("PATCH", "/users/member", json=[1]).status_code == 400


def test_nobody_starts_a_server_while_being_deleted(ruled: HubStand) -> None:
    add_person(ruled, "leaving")
    token = ruled.api("POST", "/users/leaving/tokens").json()["token"]
    ruled.manager.volumes.add("leaving")
    ruled.manager.delays[VolumeRemove] = 60.0
    deleted: list[int] = []
    deletion = threading.Thread(
        target=lambda: deleted.append(ruled.api("DELETE", "/users/leaving").status_code)
    )
    deletion.start()
    try:
        ruled.wait_for(lambda: ruled.manager.asked(VolumeRemove))
        started = ruled.api("POST", "/users/leaving/server", token=token)
        assert started.status_code == 409, started.text
    finally:
        ruled.manager.delays.clear()
        deletion.join()
    assert deleted == [204]
    time.sleep(0.3)
    assert [one for one in ruled.manager.sessions.values() if one.owner == "leaving"] == []


def test_zero_log_in_is_for_pages_of_this_machine_alone(tmp_path: Path) -> None:
    with HubStand(tmp_path, login={"logins": ["zero"]}) as stand:

        def log_in(host: str) -> int:
            headers = {"Host": host, "Sec-Fetch-Mode": "navigate"}
            with httpx.Client(base_url=stand.url, headers=headers, timeout=60) as http:
                page = http.get("/hub/login")
                token = page.text.split('name="_xsrf" value="')[1].split('"')[0]
                cookies = "; ".join(f"{c.name}={c.value}" for c in http.cookies.jar)
                form = {"username": "ada", "_xsrf": token}
                sent = http.post("/hub/login", data=form, headers={"Cookie": cookies})
                return sent.status_code

        for host in ("127.0.0.1", "localhost", "julia.localhost", "127.0.0.2"):
            assert log_in(f"{host}:{stand.port}") == 302, host
        # an attacker's name that was made to lead to this machine
        for host in ("rebound.example", "127.0.0.1.rebound.example", "localhost.example"):
            assert log_in(f"{host}:{stand.port}") == 403, host


def _tries(stand: HubStand, name: str, address: str, headers: dict[str, str]) -> list[int]:
    """Send nine wrong passwords at once from an address; return the answers in order."""
    with httpx.Client(base_url=stand.url, transport=FreshConnections(address), timeout=60) as http:
        page = http.get("/hub/login", headers={"Sec-Fetch-Mode": "navigate"}).text
        token = page.split('name="_xsrf" value="')[1].split('"')[0]
        form = {"username": name, "password": "wrong", "_xsrf": token}

        def send(number: int) -> int:
            said = {key: value.format(number) for key, value in headers.items()}
            return http.post("/hub/login", data=form, headers=said).status_code

        with ThreadPoolExecutor(9) as pool:
            return sorted(pool.map(send, range(9)))


def test_wrong_passwords_lock_a_name_for_their_own_address_whatever_it_claims_to_be(
    ruled: HubStand,
) -> None:
    password = add_person(ruled, "besieged")
    claims = {"X-Forwarded-For": "192.0.2.{}"}
    assert _tries(ruled, "besieged", "127.0.0.9", claims) == [403] * 5 + [429] * 4
    assert Visitor(ruled).log_in("besieged", password).status_code == 302
