"""Log-ins, buttons and rules of somebody else's, and what becomes of those that are at fault."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from jupyterhub.app import JupyterHub

from juliabox_ext.errors import UnavailableError
from juliabox_ext.selection import PluginSelection
from juliabox_spawner.hub.admission import check_rules
from juliabox_spawner.hub.logins import Logins
from support.hub_stand import HubStand
from support.login_steps import users, who
from support.stranger import stranger
from support.visitor import NAVIGATE, Visitor
from support.waiting import measured

SOURCE = """
    import time
    from pathlib import Path

    from juliabox_ext.handler import JBPluginHandler, PostLogin
    from juliabox_ext.plugin import PluginSettings
    from juliabox_ext.testing.handler_fake import FakeLogin
    from juliabox_ext.testing.ui_fake import FakeWidget
    from juliabox_ext.ui import JBPluginUI, Widget

    class WordsSettings(PluginSettings):
        admin: str = ""

    class Words(FakeLogin):
        '''A log-in with a form and settings of its own.'''
        Settings = WordsSettings
        def traits(self):
            return {**super().traits(), "admin_users": {self.context.settings.admin}}

    class WordsButton(FakeWidget):
        provides = (JBPluginUI.JBP_UI_AUTH_BTN,)

    class Broken(FakeLogin):
        def traits(self):
            raise RuntimeError("canary-inside")

    class WrongTrait(FakeLogin):
        def traits(self):
            return {"words": "no dict", "allow_all": True}

    class Notice(Widget):
        provides = (JBPluginUI.JBP_UI_AUTH_BTN,)
        def get_template(self, plugin_type):
            return Path(__file__).with_name("notice.html")

    class Missing(Widget):
        provides = (JBPluginUI.JBP_UI_AUTH_BTN,)
        def get_template(self, plugin_type):
            return Path(__file__).with_name("nowhere.html")

    class Door(PostLogin):
        provides = (JBPluginHandler.JBP_HANDLER_POST_AUTH,)
        def admit(self, name, details):
            if "slow" in name:
                time.sleep(60)
            if "crash" in name:
                raise RuntimeError("canary-inside")
            if "odd" in name:
                return True
            if "late" in name:
                return f"{details['login']} is closed to {details.get('email', 'you')}."
            return ""
"""
ENTRY_POINTS = {
    "juliabox.handler/words": "Words",
    "juliabox.ui/words": "WordsButton",
    "juliabox.handler/broken": "Broken",
    "juliabox.ui/broken": "WordsButton",
    "juliabox.handler/wrong-trait": "WrongTrait",
    "juliabox.ui/notice": "Notice",
    "juliabox.ui/missing": "Missing",
    "juliabox.handler/door": "Door",
}


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStand]:
    """A hub with the stranger's plugins, some of them at fault, beside accounts of its own."""
    packages = stranger(tmp_path_factory.mktemp("packages"), SOURCE, ENTRY_POINTS)
    (packages / "notice.html").write_text("<p class='notice'>Closed on Sundays {{ user }}</p>")
    selection = PluginSelection(
        enabled=["notice", "missing", "door", "github"],
        settings={"oidc": {"client_id": "box"}, "words": {"admin": "emmy"}},
    )
    login = {"logins": ["words", "broken", "wrong-trait", "oidc", "nowhere", "native"]}
    folder = tmp_path_factory.mktemp("strange")
    with HubStand(folder, packages=packages, login=login, plugins=selection) as running:
        yield running


@pytest.fixture
def guest(strange: HubStand) -> Iterator[Visitor]:
    """Somebody who has not logged in."""
    made = Visitor(strange)
    yield made
    made.http.close()


def log_in_with_word(visitor: Visitor, name: str, word: str) -> int:
    form = {"username": name, "password": word, "_xsrf": visitor.token("/hub/login")}
    sent = visitor.http.post("/hub/words/login", data=form, headers=NAVIGATE, timeout=30)
    return sent.status_code


def test_a_stranger_s_log_in_works_beside_our_own(strange: HubStand, guest: Visitor) -> None:
    assert log_in_with_word(guest, "Ada", "lovelace") == 403  # its own rule of case
    assert log_in_with_word(guest, "ada", "wrong") == 403
    assert log_in_with_word(guest, "ada", "lovelace") == 302
    assert who(guest) == "words:ada"
    assert strange.api("GET", "/users/words:ada").json()["admin"] is False
    assert log_in_with_word(Visitor(strange), "emmy", "noether") == 302
    assert strange.api("GET", "/users/words:emmy").json()["admin"] is True
    assert Visitor(strange).log_in("admin").status_code == 302


def test_only_the_buttons_of_log_ins_that_work_are_shown(guest: Visitor) -> None:
    page = guest.get("/hub/login").text
    assert 'class="fake-widget" action="/hub/words/login"' in page
    assert 'action="/hub/login"' in page and "Closed on Sundays" in page
    for absent in ("github", "oidc", "broken", "wrong-trait"):
        assert f"/{absent}/" not in page


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("broken", "RuntimeError: canary-inside"),
        ("wrong-trait", "words"),
        ("oidc", "issuer: Field required"),
        ("nowhere", "is enabled and not installed"),
        ("missing", "nowhere.html"),
    ],
)
def test_what_is_left_out_is_in_the_log_by_name_and_cause(
    strange: HubStand, guest: Visitor, plugin: str, reason: str
) -> None:
    guest.get("/hub/login")
    lines = [line for line in strange.log.splitlines() if plugin in line]
    assert any(reason in line for line in lines), lines


@pytest.mark.parametrize("path", ["broken/login", "oidc/oauth_login", "oidc/oauth_callback"])
def test_what_is_left_out_has_no_pages(guest: Visitor, path: str) -> None:
    assert guest.get(f"/hub/{path}").status_code == 404


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("late", 403, "native is closed to you. "),
        ("crash", 503, "cannot be checked at the moment"),
        ("odd", 503, "cannot be checked at the moment"),
    ],
)
def test_a_rule_keeps_people_out_and_so_does_its_failure(
    strange: HubStand, guest: Visitor, name: str, status: int, text: str
) -> None:
    strange.api("POST", f"/users/{name}")
    password = strange.api("POST", f"/users/{name}/password").json()["password"]
    answer = guest.log_in(name, password)
    assert answer.status_code == status
    assert text in answer.text and "canary" not in answer.text
    assert ("login.refused" if status == 403 else "login.rule") in answer.text
    assert who(guest) == ""
    lines = [line for line in strange.log.splitlines() if "plugin=door" in line]
    assert any(f"user={name}" in line for line in lines)
    token = {"auth": {"username": name, "password": password}}
    path = f"/users/{name}/tokens"
    assert strange.api("POST", path, token="none", json=token).status_code == 403


def test_a_rule_that_hangs_is_given_up_and_others_are_not_kept_waiting(
    strange: HubStand, guest: Visitor
) -> None:
    strange.api("POST", "/users/slow")
    password = strange.api("POST", "/users/slow/password").json()["password"]
    for took in measured(14.0):
        started = time.monotonic()
        answer = guest.log_in("slow", password)
        took.append(time.monotonic() - started)
        assert took[-1] > 9
        assert answer.status_code == 503 and "login.rule" in answer.text
    assert Visitor(strange).log_in("admin").status_code == 302
    assert "slow" in users(strange)


async def test_a_rule_that_is_absent_keeps_everybody_out() -> None:
    with pytest.raises(UnavailableError) as caught:
        await check_rules(Logins(absent_rules=["gone"]), "ada", {"login": "native"})
    assert caught.value.code == "login.rule"


def test_a_hub_without_any_log_in_that_works_says_why_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HubStand(tmp_path, login={"logins": ["oidc"]}, plugins=PluginSelection(enabled=[]))
    monkeypatch.setenv("JULIABOX_HUB_SETTINGS", str(tmp_path / "hub.json"))
    with pytest.raises(SystemExit) as caught:
        JupyterHub().load_config_file(str(files("juliabox_config") / "jupyterhub_config.py"))
    for text in ("nobody could log in", "plugins.settings.oidc", "client_id: Field required"):
        assert text in str(caught.value)


def test_people_of_a_log_in_that_is_gone_stay_and_cannot_log_in(
    strange: HubStand, tmp_path: Path
) -> None:
    """Runs last: it starts the same hub with fewer log-ins."""
    person = Visitor(strange)
    assert log_in_with_word(person, "ada", "lovelace") == 302
    strange.kill(strange.hub)  # type: ignore[arg-type]
    settings = (strange.folder / "hub.json").read_text()
    (strange.folder / "hub.json").write_text(
        settings.replace('["words","broken","wrong-trait","oidc","nowhere","native"]', '["native"]')
    )
    strange.start_hub()
    strange.await_ready()
    assert "words:ada" in users(strange)
    assert "words:ada cannot log in" in strange.log
    assert "Traceback" not in strange.log.split("words:ada cannot log in")[1]
    assert Visitor(strange).get("/hub/words/login").status_code == 404
    assert strange.api("DELETE", "/users/words:ada").status_code == 204
