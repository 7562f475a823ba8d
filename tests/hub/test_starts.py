"""What hub and proxy are started with."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from juliabox_ext.errors import ConfigurationError
from juliabox_spawner import hub_start, proxy_start, usernames
from juliabox_spawner.hub.passwords import Guard
from support.hub_stand import HubStand

ENVIRONMENT = {
    "JULIABOX_PROXY_API_ADDRESS": "10.64.0.2",
    "JULIABOX_HUB_URL": "http://10.64.0.3:8081",
    "JULIABOX_BASE_URL": "/",
}


def command(**changes: str) -> str:
    settings = proxy_start.read_settings({**ENVIRONMENT, **changes})
    return " ".join(proxy_start.command("chp", settings))


def test_the_proxy_s_api_listens_on_the_edge_address_alone() -> None:
    line = command()
    assert "--api-ip 10.64.0.2 --api-port 8001" in line
    assert "--port 8000" in line
    assert "--error-target http://10.64.0.3:8081/hub/error" in line
    assert "--ssl-key" not in line and "--host-routing" not in line


def test_the_proxy_has_tls_subdomains_and_a_base_url_when_told() -> None:
    line = command(
        JULIABOX_HTTPS="1",
        JULIABOX_SUBDOMAIN_HOST="https://box.example.org",
        JULIABOX_BASE_URL="/box/",
    )
    assert "--ssl-key /run/secrets/juliabox/tls.key" in line
    assert "--ssl-cert /run/secrets/juliabox/tls.crt" in line
    assert "--host-routing" in line
    assert "/box/hub/error" in line


@pytest.mark.parametrize(
    ("level", "said"),
    # at debug the proxy prints each address, with the tokens that may stand in it
    [("debug", "info"), ("info", "info"), ("warning", "warn"), ("error", "error"), ("", "info")],
)
def test_the_proxy_logs_at_the_operator_s_level_but_no_addresses(level: str, said: str) -> None:
    assert f"--log-level {said}" in command(JULIABOX_LOG_LEVEL=level)


@pytest.mark.parametrize("name", ["JULIABOX_PROXY_API_ADDRESS", "JULIABOX_HUB_URL"])
def test_a_proxy_without_its_addresses_says_what_lacks(name: str) -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(ConfigurationError, match=name):
        proxy_start.read_settings(environment)


def test_asking_for_routes_gives_up_on_a_proxy_that_never_comes(tmp_path: Path) -> None:
    settings = proxy_start.read_settings(
        {**ENVIRONMENT, "JULIABOX_PROXY_API_ADDRESS": "127.0.0.1", "JULIABOX_PROXY_API_PORT": "1"}
    )
    assert proxy_start.ask_for_routes(settings, "a", "b", patience=0.3) is False


def test_the_hub_waits_for_a_proxy_that_comes_later(tmp_path: Path) -> None:
    stand = HubStand(tmp_path)
    done = threading.Event()

    def wait() -> None:
        hub_start.await_proxy(stand.settings, pause=0.02)
        done.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert not done.wait(0.3)
    with socket.create_server(("127.0.0.1", stand.api_port)):
        assert done.wait(30)
    thread.join()


def test_a_lock_ends_by_itself_and_success_forgets() -> None:
    now = [0.0]
    guard = Guard(3, 60.0, clock=lambda: now[0])
    for _ in range(2):
        guard.trying("ada", "a")
    guard.succeeded("ada")
    for _ in range(3):
        assert guard.locked("ada", "a") == 0
        guard.trying("ada", "a")
    assert guard.locked("ada", "a") == 61
    assert guard.locked("bob", "a") == 0
    now[0] = 60.0
    assert guard.locked("ada", "a") == 0


def test_one_address_locks_a_name_for_itself_and_many_for_everybody() -> None:
    guard = Guard(3, 60.0)
    for _ in range(30):
        guard.trying("ada", "a")
    assert guard.locked("ada", "a")
    assert not guard.locked("ada", "b")
    for number in range(30):
        guard.trying("ada", f"other-{number}")
    assert guard.locked("ada", "b")


def test_a_try_whose_password_was_not_looked_at_does_not_count() -> None:
    guard = Guard(1, 60.0)
    guard.trying("ada", "a")
    guard.untried("ada", "a")
    assert not guard.locked("ada", "a")


def test_a_guard_of_zero_never_locks() -> None:
    guard = Guard(0, 60.0)
    for _ in range(100):
        guard.trying("ada", "a")
    assert guard.locked("ada", "a") == 0


def test_every_legal_name_is_its_own_normal_form_and_printable() -> None:
    for point in range(0, 0x110000, 7):
        name = usernames.normalize(f"a{chr(point)}b")
        if not usernames.problem(name):
            assert usernames.normalize(name) == name
            assert name.isprintable()
