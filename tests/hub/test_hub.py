"""The hub as a whole: REST API and scopes, faults of its neighbours, secrets, configuration."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import juliabox_config
import msgspec
import pytest
from jupyterhub.app import JupyterHub

from juliabox_manager import protocol as p
from juliabox_spawner import hub_backup
from support.hub_stand import PASSWORD, HubStand
from support.ports import free_port
from support.visitor import Visitor, add_person
from support.waiting import measured

CONFIG_FILE = Path(juliabox_config.__file__).parent / "jupyterhub_config.py"


def start(stand: HubStand, name: str, **options: Any) -> None:
    answer = stand.api("POST", f"/users/{name}/server", json=options or None)
    assert answer.status_code in {201, 202}, answer.text
    ready(stand, name)


def ready(stand: HubStand, name: str, label: str = "") -> None:
    def is_ready() -> bool:
        server = stand.api("GET", f"/users/{name}").json()["servers"].get(label, {})
        return bool(server.get("ready"))

    stand.wait_for(is_ready)


def sessions_of(stand: HubStand, name: str) -> list[p.SessionInfo]:
    return [one for one in stand.manager.sessions.values() if one.owner == name]


def token_of(stand: HubStand, name: str, *scopes: str) -> str:
    body = {"scopes": list(scopes)} if scopes else {}
    answer = stand.api("POST", f"/users/{name}/tokens", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def test_the_api_starts_stops_and_deletes_and_the_home_goes_with_its_person(
    stand: HubStand,
) -> None:
    add_person(stand, "apiuser")
    start(stand, "apiuser")
    assert len(sessions_of(stand, "apiuser")) == 1
    assert stand.api("DELETE", "/users/apiuser/server").status_code in {202, 204}
    stand.wait_for(lambda: not sessions_of(stand, "apiuser"))
    assert "apiuser" in stand.manager.volumes

    start(stand, "apiuser")
    named = stand.api("POST", "/users/apiuser/servers/lab", json={})
    assert named.status_code in {201, 202}
    ready(stand, "apiuser", "lab")
    assert stand.api("DELETE", "/users/apiuser").status_code == 204
    assert sessions_of(stand, "apiuser") == []
    assert "apiuser" in stand.manager.removed_volumes
    assert stand.api("GET", "/users/apiuser").status_code == 404
    # the account is gone too: nobody logs in, and a new person of the name starts from nothing
    assert Visitor(stand).log_in("apiuser", "anything").status_code == 403


def test_a_person_is_not_deleted_while_the_home_cannot_be_put_aside(stand: HubStand) -> None:
    add_person(stand, "keeper")
    stand.manager.volumes.add("keeper")
    stand.manager.errors[p.VolumeRemove] = [p.error_from(p.ErrorInfo("UnavailableError", "x", "y"))]
    assert stand.api("DELETE", "/users/keeper").status_code == 503
    assert stand.api("GET", "/users/keeper").status_code == 200
    assert stand.api("DELETE", "/users/keeper").status_code == 204


def test_users_cannot_be_renamed(stand: HubStand) -> None:
    add_person(stand, "oldname")
    answer = stand.api("PATCH", "/users/oldname", json={"name": "newname"})
    assert answer.status_code == 400 and "renamed" in answer.json()["message"]


def test_the_group_of_a_role_is_not_deleted(stand: HubStand) -> None:
    answer = stand.api("DELETE", "/groups/api-publisher")
    assert answer.status_code == 400 and "role" in answer.json()["message"]
    assert stand.api("GET", "/groups/api-publisher").status_code == 200
    assert stand.api("POST", "/groups/lab").status_code == 201
    assert stand.api("DELETE", "/groups/lab").status_code == 204


def test_the_operator_makes_admins_and_an_ordinary_token_does_not(stand: HubStand) -> None:
    made = stand.api("POST", "/users/chief", json={"admin": True})
    assert made.status_code == 201 and made.json()["admin"] is True
    assert "admin" in stand.api("GET", "/users/chief").json()["roles"]
    add_person(stand, "later")
    patched = stand.api("PATCH", "/users/later", json={"admin": True})
    assert patched.status_code == 200 and patched.json()["admin"] is True
    add_person(stand, "humble")
    own = token_of(stand, "humble")
    assert stand.api("PATCH", "/users/humble", own, json={"admin": True}).status_code in {403, 404}


def test_tokens_reach_as_far_as_their_scopes(stand: HubStand) -> None:
    for name in ("scoped", "other"):
        add_person(stand, name)
    own = token_of(stand, "scoped")
    assert stand.api("GET", "/users/scoped", own).status_code == 200
    for method, path in (
        ("GET", "/users/other"),
        ("POST", "/users/other/server"),
        ("DELETE", "/users/other"),
        ("POST", "/users/other/password"),
        ("POST", "/users/newcomer"),
        ("GET", "/proxy"),
        ("POST", "/shutdown"),
    ):
        assert stand.api(method, path, own).status_code in {403, 404}, path
    reader = token_of(stand, "scoped", "read:users!user")
    assert stand.api("GET", "/users/scoped", reader).status_code == 200
    assert stand.api("POST", "/users/scoped/server", reader).status_code in {403, 404}


def test_services_can_do_their_work_and_nothing_else(stand: HubStand) -> None:
    routes = stand.tokens["routes_token"]
    assert stand.api("POST", "/proxy", routes).status_code == 200
    assert stand.api("GET", "/users", routes).status_code == 403
    assert stand.api("POST", "/users/x", routes).status_code == 403
    assert stand.api("POST", "/shutdown").status_code == 403
    assert stand.api("GET", "/users", "wrong").status_code == 403
    metrics = f"{stand.url}/hub/metrics"
    assert httpx.get(metrics, timeout=60).status_code == 403
    header = {"Authorization": f"token {stand.tokens['operator_token']}"}
    assert httpx.get(metrics, headers=header, timeout=60).status_code == 200


def test_a_profile_of_a_group_is_for_its_members(stand: HubStand) -> None:
    add_person(stand, "student")
    refused = stand.api("POST", "/users/student/server", json={"profile": "lab"})
    assert refused.status_code == 400 and "no profile 'lab'" in refused.json()["message"]
    assert stand.api("POST", "/groups/lab").status_code == 201
    stand.api("POST", "/groups/lab/users", json={"users": ["student"]})
    start(stand, "student", profile="lab")
    assert sessions_of(stand, "student")[0].profile == "lab"


def test_a_double_click_makes_one_session(stand: HubStand) -> None:
    password = add_person(stand, "clicker")
    visitor = Visitor(stand)
    visitor.log_in("clicker", password)
    stand.manager.pace = 0.2
    try:
        for _ in range(3):
            visitor.get("/hub/spawn/clicker?opt-profile=standard")
        ready(stand, "clicker")
    finally:
        stand.manager.pace = 0.0
    made = [verb for verb in stand.manager.asked(p.SessionCreate) if verb.owner == "clicker"]
    assert len(made) == 1


def test_cancelling_a_start_leaves_nothing(stand: HubStand) -> None:
    add_person(stand, "canceller")
    stand.manager.pace = 0.5
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(stand.api, "POST", "/users/canceller/server")
            stand.wait_for(lambda: sessions_of(stand, "canceller"))
            cancel = stand.api("DELETE", "/users/canceller/server")
        assert cancel.status_code in {202, 204}
        stand.wait_for(lambda: not sessions_of(stand, "canceller"))
        stand.wait_for(lambda: not stand.api("GET", "/users/canceller").json()["servers"])
    finally:
        stand.manager.pace = 0.0
    start(stand, "canceller")


def test_a_person_is_told_that_memory_ran_out(stand: HubStand) -> None:
    password = add_person(stand, "glutton")
    visitor = Visitor(stand)
    visitor.log_in("glutton", password)
    start(stand, "glutton")
    (info,) = sessions_of(stand, "glutton")
    stand.on_manager(
        stand.manager.end(
            info.session,
            p.ExitInfo(137, True, "It ran out of memory (limit 1024 MiB).", ["<b>last words</b>"]),
        )
    )
    stand.wait_for(lambda: "" not in stand.api("GET", "/users/glutton").json()["servers"])
    page = visitor.get("/hub/user/glutton/lab")
    assert page.status_code == 424
    assert "ran out of memory (limit 1024 MiB)" in page.text
    assert "<b>last words</b>" not in page.text and "last words" in page.text


def test_a_failed_start_shows_its_reason_and_last_lines(stand: HubStand) -> None:
    password = add_person(stand, "unlucky")
    visitor = Visitor(stand)
    visitor.log_in("unlucky", password)
    stand.manager.doomed = p.ExitInfo(1, False, "It fell over.", ["ModuleNotFoundError: lab"])
    stand.manager.serving = False
    try:
        visitor.get("/hub/spawn/unlucky?opt-profile=standard")
        stand.wait_for(lambda: not sessions_of(stand, "unlucky"))
        page = stand.wait_for(
            lambda: next(
                (
                    text
                    for text in [visitor.get("/hub/spawn-pending/unlucky").text]
                    if "could not be started" in text
                ),
                "",
            )
        )
    finally:
        stand.manager.serving = True
    assert "It fell over." in page and "ModuleNotFoundError: lab" in page


def test_progress_reaches_the_browser_s_event_stream(stand: HubStand) -> None:
    add_person(stand, "watcher")
    stand.manager.pace = 0.3
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(stand.api, "POST", "/users/watcher/server")
            stand.wait_for(lambda: sessions_of(stand, "watcher"))
            stream = stand.api("GET", "/users/watcher/server/progress").text
    finally:
        stand.manager.pace = 0.0
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    assert events[-1]["ready"] is True
    texts = [event["message"] for event in events]
    for _, text in p.START_STAGES.values():
        assert text in texts


@pytest.mark.alone
def test_a_killed_proxy_has_its_routes_back_within_five_seconds(stand: HubStand) -> None:
    add_person(stand, "routed")
    start(stand, "routed")

    def routed() -> bool:
        try:
            found = httpx.get(f"{stand.url}/user/routed/lab", timeout=60)
        except httpx.HTTPError:
            return False
        return found.text == "session of routed"

    for took in measured(5.0):
        assert stand.proxy is not None
        stand.kill(stand.proxy)
        started = time.monotonic()
        stand.start_proxy()
        stand.wait_for(routed)
        took.append(time.monotonic() - started)
    stand.wait_for(lambda: "the hub has filled in the routes" in stand.log)


def test_a_part_that_does_not_answer_is_503_with_a_time_to_come_again(stand: HubStand) -> None:
    """A program that calls a published function while the engine restarts, say."""
    routes = f"http://127.0.0.1:{stand.api_port}/api/routes"
    headers = {"Authorization": f"token {stand.tokens['proxy_token']}"}
    gone = {"target": f"http://127.0.0.1:{free_port()}"}
    added = httpx.post(f"{routes}/gone", headers=headers, json=gone, timeout=60)
    assert added.status_code == 201
    answer = httpx.get(f"{stand.url}/gone/fib", timeout=60)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "Retry-After" not in httpx.get(f"{stand.url}/hub/health", timeout=60).headers
    httpx.delete(f"{routes}/gone", headers=headers, timeout=60)


def test_a_killed_hub_keeps_sessions_and_removes_half_made_ones(stand: HubStand) -> None:
    for name in ("survivor", "halfway"):
        add_person(stand, name)
    start(stand, "survivor")
    (before,) = sessions_of(stand, "survivor")
    stand.manager.pace = 1.0
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(stand.api, "POST", "/users/halfway/server", json={})
            # one that is only made is never started: that is for the hub to ask for
            stand.wait_for(
                lambda: [s for s in sessions_of(stand, "halfway") if s.state != "created"]
            )
            assert stand.hub is not None
            stand.kill(stand.hub)
        stand.manager.pace = 0.0
        found = httpx.get(f"{stand.url}/user/survivor/lab", timeout=60)
        assert found.text == "session of survivor"
        stand.wait_for(lambda: all(s.state == "running" for s in sessions_of(stand, "halfway")))
    finally:
        stand.manager.pace = 0.0
    stand.start_hub()
    stand.await_ready()
    ready(stand, "survivor")
    assert sessions_of(stand, "survivor") == [before]
    stand.wait_for(lambda: not sessions_of(stand, "halfway"))
    start(stand, "halfway")
    assert len(sessions_of(stand, "halfway")) == 1


def test_no_secret_is_printed_or_put_into_an_address(stand: HubStand, admin: Visitor) -> None:
    password = add_person(stand, "canary")
    visitor = Visitor(stand)
    assert visitor.log_in("canary", password).status_code == 302
    assert Visitor(stand).log_in("canary", "canary-wrong-password").status_code == 403
    start(stand, "canary")
    token = token_of(stand, "canary")
    stand.api("GET", "/users/canary", token)
    httpx.get(f"{stand.url}/hub/api/users/canary", params={"token": token}, timeout=60)
    admin.get("/hub/spawn")
    page = visitor.get("/hub/spawn").text
    assert 'action="/hub/spawn' not in page or "_xsrf=" not in page.partition("spawn_form")[2][:400]
    secrets = {
        **stand.tokens,
        "admin": PASSWORD,
        "password": password,
        "wrong": "canary-wrong-password",
        "token": token,
        "session": stand.manager.environments[sessions_of(stand, "canary")[0].session][
            "JUPYTERHUB_API_TOKEN"
        ],
        "cookie": visitor.http.cookies.get("jupyterhub-hub-login", path="/hub/") or "?" * 40,
        "session id": visitor.http.cookies.get("jupyterhub-session-id", path="/") or "?" * 40,
        "curve": (stand.folder / "secrets" / "manager.key").read_text().strip(),
    }
    for name, secret in secrets.items():
        assert secret not in stand.log, name
    hidden = [stand.folder / "hub" / "jupyterhub.sqlite", *(stand.folder / "hub/backups").glob("*")]
    for path in hidden:
        assert path.stat().st_mode & 0o077 == 0, path
    for process in (stand.hub, stand.proxy):
        assert process is not None
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        assert not any(secret in line for secret in secrets.values())


# -- configuration, without a hub that runs --------------------------------------------------


def configured(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Any:
    """Load the hub's configuration as JupyterHub does and return it."""
    HubStand(folder, **settings)
    if code:
        (folder / "jupyterhub_config.d" / "10-own.py").write_text(code)
    monkeypatch.setenv("JULIABOX_HUB_SETTINGS", str(folder / "hub.json"))
    app = JupyterHub()
    app.load_config_file(str(CONFIG_FILE))
    return app.config


@pytest.mark.parametrize("bind", ["0.0.0.0", "10.1.2.3", "::", "julia.example.org", ""])
def test_zero_log_in_is_refused_off_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bind: str
) -> None:
    with pytest.raises(SystemExit, match="zero lets anybody in without a password"):
        configured(tmp_path, "", monkeypatch, bind=bind, login={"logins": ["zero"]})


def test_zero_log_in_works_on_loopback(tmp_path: Path) -> None:
    with HubStand(tmp_path, login={"logins": ["zero"]}, idle_timeout=0) as stand:
        visitor = Visitor(stand)
        page = visitor.get("/hub/login").text
        assert 'name="password"' not in page and "no password is asked" in page
        assert visitor.post("/hub/login", {"username": "Anybody"}).status_code == 302
        assert visitor.get("/hub/home").status_code == 200
        assert visitor.get("/hub/signup").status_code == 404
        assert Visitor(stand).post("/hub/login", {"username": "../x"}).status_code == 400
        # the routes are asked for and the culler is off
        assert "idle-culler" not in stand.log
        assert stand.api("DELETE", "/users/anybody").status_code == 204


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("c.JupyterHub.active_server_limit = 7\n", ""),
        ("\nc.DockerSpawner.extra_host_config = {'privileged': True}\n", "extra_host_config"),
        ("\nraise ValueError('oops')\n", "10-own.py, line 2: ValueError: oops"),
        ("a = 1\nif a\n", "10-own.py, line 2"),
        ("import nothing_like_this\n", "10-own.py, line 1: ModuleNotFoundError"),
    ],
    ids=["good", "refused-option", "error", "syntax", "import"],
)
def test_own_configuration_comes_last_and_its_errors_name_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    if message:
        with pytest.raises(SystemExit) as caught:
            configured(tmp_path, code, monkeypatch)
        assert message in str(caught.value)
    else:
        config = configured(tmp_path, code, monkeypatch)
        assert config.JupyterHub.active_server_limit == 7
        assert config.JuliaBoxSpawner.mem_limit == 1024**3


def test_a_secret_that_others_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = HubStand(tmp_path)
    (tmp_path / "secrets" / "proxy_token").chmod(0o644)
    monkeypatch.setenv("JULIABOX_HUB_SETTINGS", str(tmp_path / "hub.json"))
    with pytest.raises(SystemExit) as caught:
        JupyterHub().load_config_file(str(CONFIG_FILE))
    assert "chmod 600" in str(caught.value)
    assert stand.tokens["proxy_token"] not in str(caught.value)


def test_https_and_subdomains_reach_cookies_and_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(
        tmp_path, "", monkeypatch, https=True, subdomain_host="https://box.example.org"
    )
    assert config.JupyterHub.cookie_host_prefix_enabled is True
    policy = config.JupyterHub.tornado_settings["headers"]["Content-Security-Policy"]
    assert "form-action 'self' https://*.box.example.org" in policy


def test_cookies_are_secure_behind_a_proxy_of_others_that_ends_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path, "", monkeypatch, public_url="https://box.example.org/")
    assert config.JupyterHub.tornado_settings["cookie_options"] == {"secure": True}


def test_the_hub_logs_at_the_operator_s_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JULIABOX_LOG_LEVEL", "warning")
    assert configured(tmp_path, "", monkeypatch).JupyterHub.log_level == 30


def test_backups_are_whole_few_and_closed(tmp_path: Path) -> None:
    database, folder = tmp_path / "jupyterhub.sqlite", tmp_path / "backups"
    assert hub_backup.back_up(database, folder) is None
    with sqlite3.connect(database) as link:
        link.execute("create table t (x)")
        link.execute("insert into t values (1)")
    for _ in range(8):
        time.sleep(0.002)
        assert hub_backup.back_up(database, folder, interval=0)
    found = hub_backup.backups(folder)
    assert len(found) == hub_backup.KEPT
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)
    assert sqlite3.connect(found[0]).execute("select x from t").fetchall() == [(1,)]
    assert hub_backup.back_up(database, folder) is None


def test_a_damaged_database_is_told_with_the_way_back_and_the_way_works(tmp_path: Path) -> None:
    database, folder = tmp_path / "jupyterhub.sqlite", tmp_path / "backups"
    with sqlite3.connect(database) as link:
        link.execute("create table t (x)")
        link.executemany("insert into t values (?)", [("y" * 500,)] * 200)
    hub_backup.back_up(database, folder)
    content = bytearray(database.read_bytes())
    content[4096 : 4096 * 8] = b"\xff" * (4096 * 7)
    database.write_bytes(content)
    with pytest.raises(hub_backup.DatabaseDamagedError) as caught:
        hub_backup.check(database, folder)
    command = next(line for line in caught.value.message.splitlines() if line.startswith("  mv"))
    subprocess.run(["sh", "-c", command], check=True)
    hub_backup.check(database, folder)
    assert sqlite3.connect(database).execute("select count(*) from t").fetchone() == (200,)


def test_the_hub_does_not_start_on_a_damaged_database(tmp_path: Path) -> None:
    HubStand(tmp_path)
    (tmp_path / "hub" / "jupyterhub.sqlite").write_bytes(b"SQLite format 3\x00" + b"\xff" * 9000)
    done = subprocess.run(
        [sys.executable, "-m", "juliabox_spawner.hub_start"],
        env={**os.environ, "JULIABOX_HUB_SETTINGS": str(tmp_path / "hub.json")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 65
    assert "is damaged" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("part", ["hub", "proxy"])
def test_health_follows_the_part(stand: HubStand, part: str) -> None:
    environment = {
        **os.environ,
        "JULIABOX_HUB_SETTINGS": str(stand.folder / "hub.json"),
        "JULIABOX_PROXY_API_ADDRESS": "127.0.0.1",
        "JULIABOX_PROXY_API_PORT": str(stand.api_port),
        "JULIABOX_PROXY_PORT": str(stand.port),
        "JULIABOX_PROXY_SECRETS": str(stand.folder / "secrets"),
        "JULIABOX_HUB_URL": "http://127.0.0.1:1",
    }
    command = [sys.executable, "-m", "juliabox_spawner.health", part]

    def status() -> int:
        return subprocess.run(command, env=environment, check=False).returncode

    # it asks with a patience of its own, which a busy machine may try
    stand.wait_for(lambda: status() == 0)
    settings = msgspec.json.decode((stand.folder / "hub.json").read_bytes())
    settings["hub_bind"] = "http://127.0.0.1:1"
    away = stand.folder / "away.json"
    away.write_bytes(msgspec.json.encode(settings))
    environment |= {"JULIABOX_HUB_SETTINGS": str(away), "JULIABOX_PROXY_API_PORT": "1"}
    assert status() == 1


def test_the_culler_does_not_print_its_token() -> None:
    done = _culler_output()
    assert "Connection refused" in done
    assert "canary-token" not in done


def _culler_output() -> str:
    process = subprocess.Popen(
        [sys.executable, "-m", "juliabox_spawner.hub.culler", "--timeout=9", "--cull-every=1"],
        env={
            **os.environ,
            "JUPYTERHUB_API_TOKEN": "canary-token",
            "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if "refused" in line:
            break
    process.kill()
    return printed + process.communicate()[0]
