"""What people do with published APIs in the portal, before an engine that carries nothing out."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from msgspec.structs import replace

from juliabox_ext.errors import NotFoundError
from juliabox_services.portal import engine
from juliabox_services.portal.api_pages import path_of
from juliabox_services.portal.settings import load
from support import fake_engine
from support.fake_engine import World
from support.hub_stand import PASSWORD
from support.portal_stand import PREFIX, Guest, PortalStand, page_of
from support.ports import free_port
from support.visitor import add_person

SOURCE = "fib(n) = n\ndraw(n) = n\nfail(n) = n\nmuch(n) = n\n"


@dataclass
class Place:
    """A portal, the engine behind it, and people."""

    stand: PortalStand
    world: World

    def person(self, name: str, *, publisher: bool = False) -> Guest:
        """Add a person and open the portal as that person."""
        password = add_person(self.stand, name)
        if publisher:
            added = self.stand.api("POST", "/groups/api-publisher/users", json={"users": [name]})
            assert added.status_code == 200, added.text
        return Guest(self.stand).enter(name, password)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    port = free_port()
    settings = {"api_url": f"http://127.0.0.1:{port}{fake_engine.PREFIX}"}
    with PortalStand(tmp_path_factory.mktemp("apis"), portal=settings) as stand:
        hub = f"http://127.0.0.1:{stand.hub_port}/hub/api"
        with fake_engine.running(hub, port) as (_, world):
            yield Place(stand, world)


@pytest.fixture(scope="module")
def ada(place: Place) -> Guest:
    """A publisher with one API."""
    guest = place.person("ada", publisher=True)
    answer = save(guest, "ada/sums")
    assert answer.status_code == 200, answer.text
    return guest


def save(guest: Guest, api: str, **changes: object) -> httpx.Response:
    body = {"source": SOURCE, "functions": ["fib", "draw", "fail", "much"], **changes}
    return guest.api("PUT", f"apis/{api}", json=body)


@pytest.fixture(scope="module")
def chief(place: Place) -> Guest:
    return Guest(place.stand).enter("admin", PASSWORD)


def test_the_menu_has_the_apis_where_the_installation_runs_them(ada: Guest) -> None:
    page = ada.open()
    assert page_of(page.text)["apis"] is True
    assert f'href="{PREFIX}apis"' in page.text


def test_ones_own_apis_and_those_that_others_share_are_listed_apart(
    place: Place, ada: Guest
) -> None:
    emmy = place.person("emmy", publisher=True)
    save(emmy, "emmy/primes", options={"access": "users"})
    save(emmy, "emmy/secret", options={"access": "listed"})
    found = ada.api("GET", "apis").json()
    assert [one["api"] for one in found["own"]] == ["sums"]
    assert [(one["publisher"], one["api"]) for one in found["shared"]] == [("emmy", "primes")]
    assert found["publisher"] is True and found["available"] is True
    assert found["most"] == 20


def test_somebody_who_is_no_publisher_is_told_so_and_can_save_nothing(place: Place) -> None:
    guest = place.person("reader")
    assert guest.api("GET", "apis").json()["publisher"] is False
    answer = save(guest, "reader/mine")
    assert (answer.status_code, answer.json()["code"]) == (403, "api.scope")
    assert guest.open("apis/reader/mine").status_code == 404


def test_a_page_of_an_api_has_its_active_version(ada: Guest) -> None:
    page = ada.open("apis/ada/sums")
    assert page.status_code == 200, page.text
    found = ada.api("GET", "apis/ada/sums").json()
    assert found["detail"]["version"]["source"] == SOURCE
    assert found["mine"] is True
    assert found["url"] == "/services/api/ada/sums/"
    assert found["bounds"]["timeout"] == 30.0


def test_a_publisher_finds_the_form_of_an_api_that_is_not_published_yet(ada: Guest) -> None:
    found = ada.api("GET", "apis/ada/fresh").json()
    assert (found["detail"], found["mine"]) == (None, True)
    page = ada.open("apis/ada/fresh")
    assert page.status_code == 200 and 'id="edit"' in page.text and 'id="try"' not in page.text


def test_the_page_of_somebody_elses_api_has_no_source_to_change(place: Place, ada: Guest) -> None:
    save(ada, "ada/open", options={"access": "users"})
    guest = place.person("passer-by")
    page = guest.open("apis/ada/open")
    assert page.status_code == 200
    assert 'id="try"' in page.text and 'id="edit"' not in page.text
    hidden = guest.open("apis/ada/nothing-here")
    assert hidden.status_code == 404


def test_a_source_that_does_not_load_is_refused_with_its_lines_and_its_output(ada: Guest) -> None:
    answer = save(ada, "ada/sums", source="fib(n) = n\nsyntax error\n", functions=["fib"])
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "source.syntax",
        "message": "this is no Julia",
        "frames": [{"function": "top-level scope", "line": 2}],
        "output": "loading\n",
    }
    found = ada.api("POST", "apis/check", json={"source": "syntax error", "functions": ["fib"]})
    assert found.status_code == 200
    assert found.json()["frames"] == [{"function": "top-level scope", "line": 1}]


def test_a_save_that_would_overwrite_a_newer_version_is_refused(ada: Guest) -> None:
    save(ada, "ada/twice")
    same = save(ada, "ada/twice", after=1)
    assert (same.status_code, same.json()["unchanged"]) == (200, True)
    other = save(ada, "ada/twice", source=f"{SOURCE}# more\n", after=1)
    assert (other.status_code, other.json()["unchanged"]) == (200, False)
    answer = save(ada, "ada/twice", after=1)
    assert (answer.status_code, answer.json()["code"]) == (409, "api.conflict")


def test_an_older_version_is_looked_at_and_made_to_answer(ada: Guest) -> None:
    save(ada, "ada/back", note="first")
    save(ada, "ada/back", source=f"{SOURCE}# two\n")
    older = ada.api("GET", "apis/ada/back/versions/1").json()
    assert (older["source"], older["note"]) == (SOURCE, "first")
    answer = ada.api("POST", "apis/ada/back/activate", json={"version": 1})
    assert answer.status_code == 200, answer.text
    assert answer.json()["detail"]["summary"]["active"] == 1
    for wrong in ("0", "x", "-1", "1/2", "9999999999"):
        assert ada.api("GET", f"apis/ada/back/versions/{wrong}").status_code == 404
    refused = ada.api("POST", "apis/ada/back/activate", json={"version": 0})
    assert (refused.status_code, refused.json()["code"]) == (400, "portal.body")


def test_an_api_is_stopped_started_and_removed(ada: Guest) -> None:
    save(ada, "ada/brief")
    stopped = ada.api("POST", "apis/ada/brief/stop", json={}).json()
    assert stopped["detail"]["summary"]["stopped"] == "owner"
    started = ada.api("POST", "apis/ada/brief/start", json={}).json()
    assert started["detail"]["summary"]["stopped"] == ""
    assert ada.api("DELETE", "apis/ada/brief").status_code == 204
    assert ada.api("GET", "apis/ada/brief").json()["detail"] is None


def test_who_loses_the_role_still_sees_and_stops_what_is_published(place: Place) -> None:
    guest = place.person("hedy", publisher=True)
    save(guest, "hedy/hop")
    gone = place.stand.api("DELETE", "/groups/api-publisher/users", json={"users": ["hedy"]})
    assert gone.status_code == 200, gone.text
    page = guest.api("GET", "apis/hedy/hop").json()
    assert (page["mine"], page["changes"]) == (True, False)
    assert "You are no publisher any more" in guest.open("apis/hedy/hop").text
    stopped = guest.api("POST", "apis/hedy/hop/stop", json={}).json()
    assert stopped["detail"]["summary"]["stopped"] == "owner"
    for method, path in (("POST", "/start"), ("DELETE", "")):
        assert guest.api(method, f"apis/hedy/hop{path}", json={}).status_code == 403


def test_an_api_that_an_admin_stopped_is_not_started_by_its_publisher(
    ada: Guest, chief: Guest
) -> None:
    save(ada, "ada/loud")
    stopped = chief.api("POST", "apis/ada/loud/stop", json={}).json()
    assert stopped["detail"]["summary"]["stopped"] == "admin"
    refused = ada.api("POST", "apis/ada/loud/start", json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "api.stopped")
    assert chief.api("POST", "apis/ada/loud/start", json={}).status_code == 200


def test_admins_see_the_apis_of_all_and_who_changed_what(ada: Guest, chief: Guest) -> None:
    save(ada, "ada/seen")
    found = chief.api("GET", "admin/apis").json()
    assert {"ada"} <= {one["publisher"] for one in found["apis"]}
    assert found["audit"][0] | {"who": "ada", "what": "save", "api": "seen"} == found["audit"][0]
    assert chief.open("admin/apis").status_code == 200
    assert ada.api("GET", "admin/apis").status_code == 403


def test_log_and_figures_are_asked_for_with_what_the_page_wants(ada: Guest) -> None:
    # the engine numbers lines by the microseconds of their time
    path = "apis/ada/sums/log?after=1795907927281697&limit=9"
    lines = ada.api("GET", path).json()["lines"]
    assert lines[0]["text"] == "after 1795907927281697, 9"
    stats = ada.api("GET", "apis/ada/sums/stats?hours=6").json()
    assert stats["buckets"][0]["calls"] == 6
    wrong = ada.api("GET", "apis/ada/sums/stats?hours=-1")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "portal.query")


def test_a_test_call_is_made_with_the_callers_own_token(place: Place, ada: Guest) -> None:
    body = {"arguments": ["30"], "keywords": {"scale": '"a b"'}}
    found = ada.api("POST", "apis/ada/sums/try/fib", json=body).json()
    assert found["status"] == 200
    assert json.loads(found["text"])["uri"] == "/services/api/ada/sums/fib/30?scale=a%20b"
    assert (found["method"], found["address"]) == ("GET", "fib/30?scale=a%20b")
    assert found["request"] == "ab" * 16
    token = place.world.calls[-1][0]
    assert place.stand.api("GET", "/user", token).json()["name"] == "ada"
    posted = {"arguments": ["[1, 2.50]", "2"], "keywords": {}}
    found = ada.api("POST", "apis/ada/sums/try/fib", json=posted).json()
    assert (found["method"], found["body"]) == ("POST", "[[1, 2.50], 2]")
    assert place.world.calls[-1][3] == b"[[1, 2.50], 2]"


def test_what_a_test_call_is_answered_with_is_told_and_never_run(ada: Guest) -> None:
    failed = ada.api("POST", "apis/ada/sums/try/fail", json={}).json()
    assert failed["status"] == 500
    assert json.loads(failed["text"])["frames"] == [{"function": "fail", "line": 2}]
    answer = ada.api("POST", "apis/ada/sums/try/draw", json={})
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.json()["type"], answer.json()["text"]) == ("image/png", "")
    much = ada.api("POST", "apis/ada/sums/try/much", json={}).json()
    assert (much["cut"], len(much["text"])) == (True, 256 * 1024)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"arguments": ["NaN"]}, "portal.try"),
        ({"arguments": [1]}, "portal.body"),
        ({"arguments": ["[1]"], "keywords": {"a": "[1]"}}, "portal.try"),
        ({"arguments": ["1"] * 101}, "portal.body"),
        ({"other": 1}, "portal.body"),
    ],
    ids=["no-json", "no-text", "both", "many", "unknown"],
)
def test_a_test_call_that_cannot_be_made_is_refused(
    ada: Guest, body: dict[str, object], code: str
) -> None:
    answer = ada.api("POST", "apis/ada/sums/try/fib", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    "path",
    ["_/apis", "..%2f_/apis", "ada/..%2f_", "ada/UPPER", "ada/a%20b", "ada%2fx/sums"],
)
def test_no_name_leads_to_another_part_of_the_engine(ada: Guest, path: str) -> None:
    for method in ("GET", "DELETE"):
        assert ada.api(method, f"apis/{path}").status_code == 404
    assert ada.api("POST", f"apis/{path}/try/me", json={}).status_code == 404


@pytest.mark.parametrize("function", ["a%2fb", "%2e%2e%2f%2e%2e%2f_%2fme", "a.b"])
def test_no_function_leads_to_another_part_of_the_engine(ada: Guest, function: str) -> None:
    assert ada.api("POST", f"apis/ada/sums/try/{function}", json={}).status_code == 404


@pytest.mark.parametrize(
    ("publisher", "api"),
    [("", "x"), (".", "x"), ("..", "x"), ("_", "me"), ("a/b", "x"), ("ada", ".."), ("ada", "x\n")],
    ids=["nobody", "here", "above", "interface", "slash", "no-name", "line"],
)
def test_what_is_no_name_of_an_api_makes_no_path(publisher: str, api: str) -> None:
    with pytest.raises(NotFoundError):
        path_of(publisher, api)


def test_the_document_of_an_api_is_what_the_engine_tells(place: Place, ada: Guest) -> None:
    answer = ada.api("GET", "apis/ada/sums/openapi.json")
    assert answer.json()["info"]["title"] == "ada/sums"
    by_link = ada.open("api/apis/ada/sums/openapi.json")
    assert by_link.status_code == 200
    # a file that was downloaded does not say where it is from
    address = f"{place.stand.url}/services/api/ada/sums"
    assert by_link.json()["servers"] == [{"url": address}]


def test_one_person_has_a_few_test_calls_under_way_and_no_more(place: Place, ada: Guest) -> None:
    path = "apis/ada/sums/try/slow"
    place.world.go_on.clear()
    before = len(place.world.calls)
    with ThreadPoolExecutor(engine.EACH) as pool:
        waiting = [pool.submit(ada.api, "POST", path, json={}) for _ in range(engine.EACH)]
        place.stand.wait_for(lambda: len(place.world.calls) == before + engine.EACH)
        refused = ada.api("POST", path, json={})
        assert (refused.status_code, refused.json()["code"]) == (429, "portal.calls")
        place.world.go_on.set()
        assert [one.result().json()["status"] for one in waiting] == [200] * engine.EACH
    assert ada.api("POST", path, json={}).json()["status"] == 200


def test_ones_published_sources_are_among_what_can_be_taken_away(ada: Guest) -> None:
    content = ada.api("GET", "archive/account.zip").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        kept = json.loads(archive.read("apis.json"))
    assert {one["api"] for one in kept} >= {"sums"}
    assert next(one for one in kept if one["api"] == "sums")["source"] == SOURCE


def test_a_token_of_an_api_admits_calls_of_it_and_nothing_else(place: Place, ada: Guest) -> None:
    made = ada.api("POST", "apis/ada/sums/tokens", json={"note": "shop", "expires_in": 3600})
    assert made.status_code == 201, made.text
    token = made.json()["token"]
    model = place.stand.api("GET", "/user", token).json()
    assert model["name"] == "ada"
    assert "custom:juliabox:call!server=ada/sums" in model["scopes"]
    assert not [one for one in model["scopes"] if one.startswith(("servers", "tokens", "access:"))]
    assert place.stand.api("GET", "/users/ada/tokens", token).status_code in {403, 404}
    ada.api("POST", "tokens", json={"note": "of everything"})
    listed = ada.api("GET", "apis/ada/sums/tokens").json()["tokens"]
    assert [one["note"] for one in listed] == ["shop"]
    assert ada.api("GET", "apis/ada/back/tokens").json()["tokens"] == []
    assert ada.api("DELETE", f"tokens/{made.json()['id']}").status_code == 204
    assert place.stand.api("GET", "/user", token).status_code == 403


def test_a_publisher_tries_an_api_that_is_for_tokens_alone(place: Place, ada: Guest) -> None:
    save(ada, "ada/closed", options={"access": "token"})
    found = ada.api("POST", "apis/ada/closed/try/fib", json={"arguments": ["3"]}).json()
    assert found["status"] == 200, found
    assert ada.api("GET", "apis/ada/closed/openapi.json").status_code == 200
    used = place.world.calls[-1][0]
    assert place.stand.api("GET", "/user", used).status_code == 403  # it was for this one call
    other = place.person("not-ada")
    refused = other.api("POST", "apis/ada/closed/try/fib", json={"arguments": ["3"]}).json()
    assert refused["status"] == 403


@pytest.mark.parametrize(
    ("broken", "status", "code"),
    [
        ((503, b'{"code": "api.starting", "message": "no room now"}'), 503, "api.starting"),
        ((503, b"<html>"), 503, "portal.engine"),
        ((500, b"Traceback"), 500, "portal.engine_failed"),
        ((200, b"{"), 500, "portal.engine_failed"),
        ((200, b'{"apis": 7}'), 500, "portal.engine_failed"),
        ((413, b'{"code": "api.too_large", "message": "too large"}'), 400, "api.too_large"),
    ],
    ids=["busy", "proxy", "fault", "cut", "wrong", "family"],
)
def test_an_engine_in_trouble_is_told_with_a_code(
    place: Place, ada: Guest, broken: tuple[int, bytes], status: int, code: str
) -> None:
    place.world.broken = broken
    try:
        answer = ada.api("GET", "apis")
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        page = ada.open("apis")
        assert page.status_code == status
        assert "Traceback" not in page.text
        assert ada.open().status_code == 200
    finally:
        place.world.broken = None


def test_an_installation_without_an_engine_says_so(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("nothing-to-call")
    page = guest.open("apis")
    assert page.status_code == 200
    assert f'href="{PREFIX}apis"' not in guest.open().text
    answer = guest.api("GET", "apis/ada/sums")
    assert (answer.status_code, answer.json()["code"]) == (404, "portal.apis")
    assert guest.api("POST", "apis/ada/sums/tokens", json={"note": "x"}).status_code == 404


def test_with_subdomains_calls_have_the_engines_own_host(place: Place) -> None:
    plain = load(place.stand.folder / "portal.json")
    assert plain.api_host == ""
    apart = replace(plain, hub_host="https://julia.example:8443")
    assert apart.api_host == "https://api--service.julia.example:8443"


def test_an_engine_that_is_away_is_told_and_the_rest_goes_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = {"api_url": f"http://127.0.0.1:{free_port()}{fake_engine.PREFIX}"}
    with PortalStand(tmp_path_factory.mktemp("away"), portal=settings) as stand:
        chief = Guest(stand).enter("admin", PASSWORD)
        for path in ("apis", "admin/apis", "apis/ada/sums"):
            answer = chief.api("GET", path)
            assert (answer.status_code, answer.json()["code"]) == (503, "portal.engine"), path
            assert answer.headers["Retry-After"]
            assert chief.open(path).status_code == 503
        assert chief.open().status_code == 200
        assert chief.api("GET", "admin/overview").status_code == 200
