"""Registration: its switch, its rate, roles of people, and mail to those who are let in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from juliabox_ext.errors import PolicyError, UnavailableError
from juliabox_ext.selection import PluginSelection
from juliabox_spawner.hub import outbox
from juliabox_spawner.hub.outbox import Outbox, address_problem
from juliabox_spawner.hub.registration import Registration
from support.hub_stand import HubStand
from support.mail_server import MailServer, running
from support.visitor import Visitor

GOOD = "a long enough pass phrase"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def sign_up(visitor: Visitor, name: str, **more: str) -> str:
    form = {"username": name, "new_password": GOOD, "new_password_confirmation": GOOD, **more}
    return visitor.post("/hub/signup", form).text


def test_beyond_the_rate_people_wait_and_come_in_by_their_turn(tmp_path: Path) -> None:
    clock = Clock()
    registration = Registration(tmp_path, 2, clock)
    assert [registration.admit(name) for name in ("a", "b", "c", "d")] == [True, True, False, False]
    again = Registration(tmp_path, 2, clock)
    assert again.waiting == ["c", "d"]
    assert again.next_turns() == []
    clock.now += 3601
    assert not again.admit("e"), "somebody who came later does not overtake"
    again.forget("d")
    assert again.next_turns() == ["c", "e"]
    assert Registration(tmp_path, 2, clock).waiting == []


def test_a_damaged_record_of_registration_means_a_fresh_one(tmp_path: Path) -> None:
    (tmp_path / "registration.json").write_text("{")
    assert Registration(tmp_path, 1).admit("a")


@pytest.mark.parametrize(
    "address", ["x", "a@b", "a b@c.de", "a@b.de\nBcc: x@y.de", "@b.de", "a@" + "b" * 300 + ".de"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    assert address_problem(address)
    assert not address_problem("ada@example.org")


class Service:
    """A mail service that answers as it is told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.taken: list[str] = []

    def __call__(self, to: str, sender: str, subject: str, text: str) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append(to)


def test_no_mail_is_lost_or_doubled_while_the_service_is_away(tmp_path: Path) -> None:
    clock, service = Clock(), Service()
    box = Outbox(tmp_path / "mail", service, clock)
    box.put("ada@example.org", "s", "t")
    box.put("emmy@example.org", "s", "t")
    service.error = UnavailableError("smtp: down")
    box.send_due()
    service.error = None
    box.send_due()
    assert service.taken == ["emmy@example.org"], "the first waits for its time"
    clock.now += outbox.FIRST_WAIT + 1
    Outbox(tmp_path / "mail", service, clock).send_due()
    assert service.taken == ["emmy@example.org", "ada@example.org"]
    box.send_due()
    assert len(service.taken) == 2


def test_a_refused_mail_is_kept_aside_and_stops_no_other(tmp_path: Path) -> None:
    service = Service()
    box = Outbox(tmp_path / "mail", service)
    box.put("ada@example.org", "s", "t")
    service.error = PolicyError("smtp: no such recipient")
    box.send_due()
    (tmp_path / "mail" / "000-broken.json").write_text("{")
    service.error = None
    box.put("emmy@example.org", "s", "t")
    box.send_due()
    assert service.taken == ["emmy@example.org"]
    assert len(list((tmp_path / "mail").glob("*.refused"))) == 2


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStand]:
    """A hub whose sign-up is open to one account an hour."""
    login = {"signup": "open", "signup_rate": 1}
    with HubStand(tmp_path_factory.mktemp("busy"), login=login) as running:
        yield running


def test_sign_up_lets_in_by_the_rate_and_an_admin_lets_in_whom_they_want(busy: HubStand) -> None:
    visitor, admin = Visitor(busy), Visitor(busy)
    assert "You can sign in." in sign_up(visitor, "first")
    assert visitor.log_in("first", GOOD).status_code == 302
    late = Visitor(busy)
    assert "sign in later" in sign_up(late, "second")
    assert late.log_in("second", GOOD).status_code == 403
    assert admin.log_in("admin").status_code == 302
    assert "waits for a turn" in admin.get("/hub/authorize").text
    admin.post("/hub/authorize", {"username": "second", "action": "authorize"})
    assert late.log_in("second", GOOD).status_code == 302


def test_an_admin_closes_registration_and_opens_it_again(busy: HubStand) -> None:
    visitor, admin = Visitor(busy), Visitor(busy)
    assert admin.log_in("admin").status_code == 302
    assert admin.post("/hub/authorize", {"action": "close-registration"}).status_code == 302
    assert "registration is closed" in admin.get("/hub/authorize").text
    answer = visitor.get("/hub/signup")
    assert answer.status_code == 403 and "closed at the moment" in answer.text
    admin.post("/hub/authorize", {"action": "open-registration"})
    assert visitor.get("/hub/signup").status_code == 200


def test_members_of_a_role_s_group_have_its_scopes_and_no_others(stand: HubStand) -> None:
    for name in ("keeper", "nobody-special"):
        assert stand.api("POST", f"/users/{name}").status_code == 201
    body = {"users": ["keeper"]}
    assert stand.api("POST", "/groups/containers/users", json=body).status_code == 200
    tokens = {
        name: stand.api("POST", f"/users/{name}/tokens").json()["token"]
        for name in ("keeper", "nobody-special")
    }
    scopes = stand.api("GET", "/user", tokens["keeper"]).json()["scopes"]
    assert "custom:juliabox:containers" in scopes and "delete:servers" in scopes
    assert stand.api("GET", "/users", tokens["keeper"]).status_code == 200
    assert stand.api("DELETE", "/users/nobody-special", tokens["keeper"]).status_code == 403
    assert stand.api("GET", "/users", tokens["nobody-special"]).status_code == 403


@pytest.mark.parametrize("logins", [["native"], ["native", "oidc"]], ids=["alone", "beside"])
def test_whoever_is_let_in_gets_a_mail_and_none_is_lost_while_the_server_refuses(
    tmp_path: Path, logins: list[str]
) -> None:
    mails = MailServer()
    with running(mails):
        mails.mail_answer = "451 4.3.0 Try again later"
        smtp = {"host": "127.0.0.1", "port": mails.port, "security": "none", "sender": "j@box.org"}
        oidc = {"client_id": "x", "client_secret": "y", "issuer": "http://127.0.0.1:1"}
        plugins = PluginSelection(
            enabled=["smtp"],
            settings={"smtp": smtp, "oidc": oidc},
            features={"cloud.sendmail": ["smtp"]},
        )
        with HubStand(tmp_path, login={"logins": logins}, plugins=plugins) as stand:
            visitor, admin = Visitor(stand), Visitor(stand)
            assert "E-mail" in visitor.get("/hub/signup").text
            assert "no e-mail address" in sign_up(visitor, "ada", email="nonsense")
            assert "once an administrator" in sign_up(visitor, "ada", email="ada@example.org")
            assert admin.log_in("admin").status_code == 302
            assert "ada@example.org" in admin.get("/hub/authorize").text
            admin.post("/hub/authorize", {"username": "ada", "action": "authorize"})
            waiting = tmp_path / "hub/mail"
            # the hub writes each anew beside its name
            stand.wait_for(
                lambda: any('"tries":1' in f.read_text() for f in waiting.glob("*.json"))
            )
            mails.mail_answer = ""
            (file,) = waiting.glob("*.json")
            mail = json.loads(file.read_text())
            edited = file.with_suffix(".edited")
            edited.write_text(json.dumps({**mail, "due": 0.0}))
            edited.replace(file)  # the hub, which looks at any moment, gives up what is half a file
            stand.wait_for(lambda: mails.messages)
            assert mails.messages[0]["To"] == "ada@example.org"
            assert stand.url in mails.messages[0].get_content()
            stand.wait_for(lambda: not list(waiting.iterdir()))
            assert visitor.log_in("ada", GOOD).status_code == 302
