"""What the parts are told: readable by their own schemas, and stable."""

from __future__ import annotations

import dataclasses
import os
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml
from jupyterhub.utils import subdomain_hook_idna

from juliabox_cli import config_file
from juliabox_cli.addresses import Addresses
from juliabox_cli.compose import PARTS
from juliabox_cli.config import Config
from juliabox_cli.images import Images
from juliabox_cli.rendering import ceilings, public_url, render
from juliabox_cli.rendering_pool import pool_settings
from juliabox_cli.state import State
from juliabox_ext.errors import ConfigurationError
from juliabox_manager import settings as manager_settings
from juliabox_services.api import settings as api_settings
from juliabox_services.portal import settings as portal_settings
from juliabox_spawner import settings as hub_settings

ADDRESSES = Addresses(IPv4Network("10.64.16.0/20"))
IMAGES = Images(
    "juliabox/control:1",
    {"juliabox/julia": "sha256:" + "1" * 64},
    api="sha256:" + "3" * 64,
)
SOCKET = "/var/run/docker.sock"

FULL = """
name: lab
bind: 0.0.0.0
port: 443
https: {certificate: /a, key: /b}
subdomain_host: https://julia.example.org
base_url: /julia/
authentication: {admin: ada, signup: closed, lock_time: 1m}
sessions: {memory: 2G, cpu: 0.5, idle_timeout: 0, max_age: 1d}
profiles:
  - {slug: big, name: Big, memory: 4G, groups: [lab], image: my/image, pool: 1}
groups: {lab: {cpu: 3}}
capacity: {sessions: 7, memory: 16G}
pool: {rule: fixed, size: 3, maximum: 5, memory: 1G, kernel: false}
network: {internet: false, allow: [192.168.0.0/24], deny: [8.8.8.8/32]}
volumes: {deletion_grace: 1d}
announcement: Hello
"""


def _config(text: str) -> Config:
    return config_file.check(Path("config.yaml"), text)


def _digests(state: State) -> dict[str, str]:
    lines = state.compose_env.read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    return {part: values[f"JULIABOX_{part.upper()}_DIGEST"] for part in PARTS}


def _changed(state: State, before: Config, after: Config, images: Images = IMAGES) -> set[str]:
    render(before, state, ADDRESSES, IMAGES, SOCKET)
    old = _digests(state)
    render(after, state, ADDRESSES, images, SOCKET)
    new = _digests(state)
    return {part for part in old if old[part] != new[part]}


def test_the_parts_read_what_was_rendered(state: State) -> None:
    render(_config(FULL), state, ADDRESSES, IMAGES, SOCKET)
    manager = manager_settings.load(state.run / "manager.json")
    hub = hub_settings.load(state.run / "hub.json")
    assert manager.installation == hub.installation == "lab"
    assert manager.listen == hub.manager.endpoint == "tcp://10.64.18.4:9500"
    assert manager.network.name == hub.sessions_network
    assert manager.network.trusted == ["10.64.24.2", "10.64.24.3"]
    assert manager.ceilings.memory == 4 * 1024**3
    assert manager.ceilings.cpu == 3
    assert manager.volume_grace == 86400
    assert not manager.network.internet
    pool = manager.pool
    assert (pool.rule, pool.size, pool.maximum, pool.kernel) == ("fixed", 3, 5, False)
    assert (pool.memory, pool.sizes) == (1024**3, {"my/image": 1})
    assert hub.login.admins == ["ada"]
    assert hub.profiles[0].display_name == "Big"
    assert hub.profiles[0].memory == 4 * 1024**3
    assert hub.public_url == "https://julia.example.org/julia/"
    assert (hub.idle_timeout, hub.max_age) == (0, 86400)


def test_the_portal_reads_what_was_rendered_and_the_hub_knows_where_it_is(state: State) -> None:
    render(_config(FULL), state, ADDRESSES, IMAGES, SOCKET)
    portal = portal_settings.load(state.run / "portal.json")
    hub = hub_settings.load(state.run / "hub.json")
    assert hub.portal is not None
    assert hub.portal.url == f"http://{portal.address}:{portal.port}"
    assert portal.portal_host == hub.portal.host == "https://portal--service.julia.example.org"
    assert portal.prefix == "/julia/services/portal/"
    assert portal.hub_api == "http://10.64.16.3:8081/julia/hub/api"
    assert yaml.safe_load(portal.configuration)["groups"]["lab"]["cpu"] == 3
    assert {"groups", "sessions.memory", "network.internet"} <= set(portal.configuration_changed)
    assert "sessions.pids" not in portal.configuration_changed
    manager = manager_settings.load(state.run / "manager.json")
    assert not {"*", "session.*"} & set(manager.clients["portal"].verbs)


def test_the_api_engine_reads_what_was_rendered_and_all_others_know_where_it_is(
    state: State,
) -> None:
    text = FULL + "apis: {timeout: 20s, memory: 256M, containers: 9, internet: true}\n"
    render(_config(text), state, ADDRESSES, IMAGES, SOCKET)
    api = api_settings.load(state.run / "api.json")
    assert api.addresses == ["10.64.16.6", "10.64.24.6"]
    assert (api.metrics_address, api.port) == ("10.64.18.6", 8092)
    assert api.prefix == "/julia/services/api/"
    assert (api.bounds.timeout, api.bounds.memory) == (20, 256 * 1024**2)
    assert api.plugins.enabled == []  # no choice was made here
    manager = manager_settings.load(state.run / "manager.json")
    assert manager.api is not None
    assert (manager.api.image, manager.api.image_id) == ("juliabox/julia-api", IMAGES.api)
    assert manager.api.trusted == ["10.64.24.6"]
    assert manager.api.ceilings.memory == 2 * 1024**3
    assert (manager.api.internet, manager.api.containers) == (True, 9)
    assert manager.network.services == ["10.64.24.6:8092"]
    assert "juliabox/julia-api" not in manager.images
    assert "*" not in manager.clients["api"].verbs
    hub = hub_settings.load(state.run / "hub.json")
    assert hub.api is not None
    assert hub.api.url == "http://10.64.16.6:8092"
    assert hub.api.sessions_url == "http://10.64.24.6:8092/julia/services/api/"
    assert hub.api.host == api.api_host == "https://api--service.julia.example.org"
    portal = portal_settings.load(state.run / "portal.json")
    assert portal.api_url == "http://10.64.16.6:8092/julia/services/api/"


def test_nobody_is_told_of_an_api_engine_that_is_switched_off(state: State) -> None:
    render(_config("apis: {enabled: false}"), state, ADDRESSES, IMAGES, SOCKET)
    assert manager_settings.load(state.run / "manager.json").api is None
    assert manager_settings.load(state.run / "manager.json").network.services == []
    assert hub_settings.load(state.run / "hub.json").api is None
    assert portal_settings.load(state.run / "portal.json").api_url == ""


def test_the_portals_host_is_the_one_that_jupyterhub_makes_of_its_name() -> None:
    made = subdomain_hook_idna("portal", "julia.example.org", kind="service")
    assert portal_settings.portal_host("https://julia.example.org") == f"https://{made}"


def test_no_rendered_file_holds_a_secret(state: State) -> None:
    render(_config(FULL), state, ADDRESSES, IMAGES, SOCKET)
    rendered = b"".join(path.read_bytes() for path in state.run.rglob("*.*"))
    for path in state.secrets.rglob("*"):
        if path.is_file():
            assert path.read_bytes().strip() not in rendered, path


def test_the_same_input_writes_nothing_and_changes_no_digest(state: State) -> None:
    assert render(_config(FULL), state, ADDRESSES, IMAGES, SOCKET)
    before = {path.name: path.stat().st_mtime_ns for path in state.run.iterdir()}
    assert render(_config(FULL), state, ADDRESSES, IMAGES, SOCKET) == []
    assert {path.name: path.stat().st_mtime_ns for path in state.run.iterdir()} == before


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        ("announcement: Hi", {"hub", "portal"}),
        ("capacity: {sessions: 3}", {"manager", "portal"}),
        ("pool: {size: 0}", {"manager", "portal"}),
        ("sessions: {idle_timeout: 5m}", {"hub", "portal"}),
        ("sessions: {memory: 8G}", {"hub", "manager", "portal"}),
        ("volumes: {deletion_grace: 1d}", {"manager", "portal"}),
        ("images: {julia_source: debian}", {"portal"}),
        ("apis: {rate: 5}", {"api", "portal"}),
        ("apis: {containers: 8}", {"api", "manager", "portal"}),
        ("apis: {enabled: false}", {"hub", "manager", "portal"}),
    ],
)
def test_an_edit_concerns_only_the_parts_that_read_it(
    state: State, edit: str, parts: set[str]
) -> None:
    assert _changed(state, _config(""), _config(edit)) == parts


def test_a_new_session_image_concerns_the_manager_alone(state: State) -> None:
    newer = dataclasses.replace(IMAGES, sessions={"juliabox/julia": "sha256:" + "2" * 64})
    assert _changed(state, _config(""), _config(""), newer) == {"manager"}


def test_a_file_of_traits_and_a_certificate_concern_their_part(state: State) -> None:
    render(_config(""), state, ADDRESSES, IMAGES, SOCKET)
    before = _digests(state)
    (state.config_folder / "10-own.py").write_text("c.JupyterHub.log_level = 10\n")
    (state.secrets / "proxy" / "tls.crt").write_text("new")
    render(_config(""), state, ADDRESSES, IMAGES, SOCKET)
    after = _digests(state)
    assert {part for part in after if after[part] != before[part]} == {"hub", "proxy"}


def test_the_pool_s_memory_is_a_quarter_of_the_machine_s_and_never_much() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < pool_settings(_config("")).memory <= min(2 * 1024**3, machine / 4)
    assert pool_settings(_config("pool: {memory: 64M}")).memory == 64 * 1024**2


def test_a_pool_of_size_0_is_off_for_every_profile() -> None:
    text = "pool: {size: 0}\nprofiles:\n  - {slug: a, name: A, image: my/image, pool: 3}\n"
    pool = pool_settings(_config(text))
    assert (pool.size, pool.sizes) == (0, {})


def test_unset_ceilings_are_the_largest_limits_of_the_file() -> None:
    assert ceilings(_config("")).memory == 1024**3
    assert ceilings(_config("ceilings: {pids: 4096}")).pids == 4096


def test_the_printed_address_has_what_a_browser_needs() -> None:
    assert public_url(_config("")) == "http://127.0.0.1:8000/"
    assert public_url(_config("port: 80")) == "http://127.0.0.1/"
    assert public_url(_config("public_url: https://a.example/\nbase_url: /j/")) == (
        "https://a.example/j/"
    )


def test_the_address_of_a_service_for_everybody_asks_no_name_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    monkeypatch.setattr("socket.getfqdn", lambda: pytest.fail("asked"))
    assert public_url(_config("bind: 0.0.0.0")) == "http://box:8000/"


def test_a_file_of_traits_that_the_hub_cannot_read_is_told(state: State) -> None:
    (state.config_folder / "10-own.py").write_text("")
    (state.config_folder / "10-own.py").chmod(0o600)
    with pytest.raises(ConfigurationError, match="chmod 644"):
        render(_config(""), state, ADDRESSES, IMAGES, SOCKET)
