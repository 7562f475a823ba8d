"""The interface lets in who may, answers what its page says, and every failure is a fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import msgspec
import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from juliabox_ext.errors import UnavailableError
from juliabox_services.api import interface
from juliabox_services.api.departures import WHO
from juliabox_services.api.interface import routes
from juliabox_services.api.models import Detail, Fault, SaveRequest, Stats, Summary, Version
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.rates import Room
from support.published_stand import GREETING, CheckingBack, FaintDatabase
from support.waiting import until

ACCESS = "access:services!service=api"
CALL, PUBLISH, ADMIN = "custom:juliabox:call", "custom:juliabox:publish", "admin-ui"

#: Accounts: one that was there before these tests, and one that is made when nobody runs them.
FIRST, SECOND = "2026-03-01T08:00:00.000001Z", "2926-03-01T08:00:00.000001Z"

#: What may be asked of one API, as method, path and body: changes, one more, and looks.
CHANGES: list[tuple[str, str, Any]] = [
    ("PUT", "apis/ada/hi", SaveRequest(source=GREETING)),
    ("DELETE", "apis/ada/hi", None),
    ("POST", "apis/ada/hi/activate", {"version": 1}),
    ("POST", "apis/ada/hi/start", None),
]
STOP = ("POST", "apis/ada/hi/stop", None)
LOOKS: list[tuple[str, str, Any]] = [
    ("GET", "apis/ada/hi/log", None),
    ("GET", "apis/ada/hi/stats", None),
    ("GET", "apis/ada/hi/versions/1", None),
]

#: Token -> what the hub would say of it.
PEOPLE: dict[str, Mapping[str, Any]] = {
    "ada": {"name": "ada", "scopes": [ACCESS, CALL, PUBLISH], "groups": []},
    "bob": {"name": "bob", "scopes": [ACCESS, CALL, PUBLISH], "groups": ["lab"]},
    "eve": {"name": "eve", "scopes": [ACCESS, CALL], "groups": []},
    "root": {"name": "root", "scopes": [ACCESS, CALL, ADMIN], "groups": []},
    "stranger": {"name": "ada", "scopes": [CALL, PUBLISH], "groups": []},
    # ada without the role, and ada's token for less than she may
    "former": {"name": "ada", "scopes": [ACCESS, CALL], "groups": []},
    "narrow": {"name": "ada", "scopes": [ACCESS, CALL], "groups": ["api-publisher"]},
    "robot": {"name": "ada", "scopes": [ACCESS, PUBLISH], "groups": [], "kind": "service"},
    # two people who were called cleo, one after the other
    **{
        token: {
            "name": "cleo",
            "scopes": [ACCESS, CALL, PUBLISH],
            "groups": [],
            "account": account,
        }
        for token, account in (("first", FIRST), ("second", SECOND))
    },
}


async def identify(handler: RequestHandler) -> Mapping[str, Any] | None:
    said = handler.request.headers.get("Authorization", "").removeprefix("token ")
    found = PEOPLE.get(said)
    return {"kind": "user", **found} if found else None


class Client:
    """Asks the interface as one person after another."""

    def __init__(self, url: str) -> None:
        base = f"{url}/services/api/_/"
        self._http = httpx.AsyncClient(base_url=base, trust_env=False, timeout=40)

    async def __call__(
        self, who: str, method: str, path: str, body: Any = None, **more: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"token {who}"} if who else {}
        if body is not None:
            sent = isinstance(body, bytes) or hasattr(body, "__aiter__")
            more["content"] = body if sent else msgspec.json.encode(body)
        return await self._http.request(method, path, headers=headers, **more)

    async def save(self, who: str, name: str, **options: Any) -> httpx.Response:
        body = {"source": GREETING, "functions": ["hello"], "options": options}
        return await self(who, "PUT", f"apis/{name}", body)

    async def close(self) -> None:
        await self._http.aclose()


@pytest.fixture
def room() -> Room:
    """What bodies may hold: two of the largest, and a publisher one."""
    return Room(3_500_000)


@pytest.fixture
async def ask(
    publishing: Publishing, room: Room, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    monkeypatch.setattr(interface, "Room", lambda _: room)
    application = Application(
        routes(publishing, identify), proxied=False, log_function=lambda _: None
    )
    server = HTTPServer(application)
    listening, port = bind_unused_port(address="127.0.0.1")
    server.add_socket(listening)
    client = Client(f"http://127.0.0.1:{port}")
    yield client
    await client.close()
    server.stop()
    await server.close_all_connections()


def fault(answer: httpx.Response, status: int) -> Fault:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    return msgspec.json.decode(answer.content, type=Fault)


async def test_who_one_is_here_is_told_with_the_bounds(ask: Client) -> None:
    found = (await ask("ada", "GET", "me")).json()
    assert (found["name"], found["admin"], found["publisher"]) == ("ada", False, True)
    assert found["bounds"]["timeout"] == 30
    assert (await ask("eve", "GET", "me")).json()["publisher"] is False
    assert (await ask("root", "GET", "me")).json()["admin"] is True


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_nobody_comes_in_without_a_token_for_this_service(ask: Client, method: str) -> None:
    answer = await ask("", method, "apis/ada/hi")
    assert fault(answer, 401).code == "api.login"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for who in ("stranger", "robot"):
        assert fault(await ask(who, method, "apis/ada/hi"), 403).code == "api.access"


async def test_an_api_is_saved_shown_listed_and_removed(ask: Client) -> None:
    answer = await ask.save("ada", "ada/hi", access="users", description="Greets")
    assert answer.status_code == 201
    detail = msgspec.json.decode(answer.content, type=Detail)
    assert detail.mine and detail.version.source == GREETING
    assert detail.summary.url == "/services/api/ada/hi/"
    assert [one.version for one in detail.versions] == [1]
    assert (await ask.save("ada", "ada/hi")).status_code == 200
    listed = (await ask("ada", "GET", "apis")).json()["apis"]
    summary = msgspec.convert(listed, list[Summary])[0]
    assert (summary.api, summary.newest, summary.functions) == ("hi", 2, ["hello"])
    old = await ask("ada", "GET", "apis/ada/hi/versions/1")
    assert msgspec.json.decode(old.content, type=Version).options.description == "Greets"
    assert (await ask("ada", "DELETE", "apis/ada/hi")).status_code == 204
    assert fault(await ask("ada", "GET", "apis/ada/hi"), 404).code == "api.unknown"
    assert (await ask("ada", "GET", "apis")).json() == {"apis": []}


async def test_a_save_that_changes_nothing_is_answered_with_what_is_there(ask: Client) -> None:
    first = await ask.save("ada", "ada/hi", access="users")
    again = await ask.save("ada", "ada/hi", access="users")
    other = await ask.save("ada", "ada/hi", access="token")
    assert [one.status_code for one in (first, again, other)] == [201, 200, 200]
    told = [msgspec.json.decode(one.content, type=Detail) for one in (first, again, other)]
    assert [one.unchanged for one in told] == [False, True, False]
    assert told[1].version == told[0].version
    assert [len(one.versions) for one in told] == [1, 1, 2]
    assert not (await ask("ada", "GET", "apis/ada/hi")).json()["unchanged"]


async def test_only_its_publisher_and_admins_change_an_api(ask: Client) -> None:
    await ask.save("ada", "ada/hi")
    for method, path, body in [*CHANGES, STOP, *LOOKS]:
        for who in ("bob", "eve"):
            assert fault(await ask(who, method, path, body), 403).code == "api.owner"
    assert fault(await ask.save("eve", "eve/hi"), 403).code == "api.publish"
    assert fault(await ask("eve", "GET", "apis?all=1"), 403).code == "api.admin"
    assert (await ask.save("root", "ada/hi")).status_code == 200
    assert len((await ask("root", "GET", "apis?all=1")).json()["apis"]) == 1
    stopped = await ask("root", "POST", "apis/ada/hi/stop")
    assert stopped.json()["summary"]["stopped"] == "admin"
    refused = await ask("ada", "POST", "apis/ada/hi/start")
    assert fault(refused, 403).code == "api.stopped_by_admin"
    refused = await ask("ada", "DELETE", "apis/ada/hi")
    assert fault(refused, 403).code == "api.stopped_by_admin"
    assert (await ask("root", "DELETE", "apis/ada/hi")).status_code == 204


async def test_who_is_no_publisher_any_more_sees_what_is_hers_and_stops_it_and_no_more(
    ask: Client, back: CheckingBack
) -> None:
    await ask.save("ada", "ada/hi", access="token")
    for method, path, body in LOOKS:
        assert (await ask("former", method, path, body)).status_code == 200
    seen = msgspec.json.decode((await ask("former", "GET", "apis/ada/hi")).content, type=Detail)
    assert (seen.mine, seen.changes, seen.version.source) == (True, False, GREETING)
    answer = await ask("former", "POST", "apis/ada/hi/stop")
    assert msgspec.json.decode(answer.content, type=Detail).summary.stopped == "owner"
    assert back.active["ada", "hi"] is None
    for method, path, body in CHANGES:
        assert fault(await ask("former", method, path, body), 403).code == "api.publish"
    started = await ask("ada", "POST", "apis/ada/hi/start")  # with the role again
    assert msgspec.json.decode(started.content, type=Detail).changes


async def test_who_gets_the_name_of_somebody_removed_gets_nothing_of_hers_until_an_admin_starts_it(
    ask: Client, publishing: Publishing
) -> None:
    await ask.save("ada", "ada/hi", access="users")
    await ask.save("ada", "ada/hi", access="token")
    await publishing.saving.stop("ada", "hi", WHO, "gone", detail="ada is no user any more")
    await ask.save("ada", "ada/own")  # of somebody who is called ada as well
    listed = (await ask("ada", "GET", "apis")).json()["apis"]
    assert [one["api"] for one in listed] == ["own"]
    assert fault(await ask("ada", "GET", "apis/ada/hi"), 404).code == "api.unknown"
    for method, path, body in [*CHANGES, STOP, *LOOKS]:
        for who in ("ada", "former"):
            if method == "GET" or path.endswith("stop") or who == "ada":
                refused = fault(await ask(who, method, path, body), 403)
                assert refused.code == "api.owner" and "was removed" in refused.message
    assert [row["api"] for row in (await ask("ada", "GET", "audit")).json()["rows"]] == ["own"]
    detail = msgspec.json.decode((await ask("root", "GET", "apis/ada/hi")).content, type=Detail)
    assert (detail.mine, detail.version.source, len(detail.versions)) == (True, GREETING, 2)
    assert len((await ask("root", "GET", "audit")).json()["rows"]) == 4
    assert (await ask("root", "POST", "apis/ada/hi/start")).status_code == 200
    detail = msgspec.json.decode((await ask("ada", "GET", "apis/ada/hi")).content, type=Detail)
    assert (detail.mine, detail.changes, detail.version.source) == (True, True, GREETING)


#: What only its publisher may do with an API, or see of it.
OF_ITS_PUBLISHER: list[tuple[str, str, Any]] = [
    ("PUT", "apis/cleo/hi", SaveRequest(source=GREETING)),
    ("DELETE", "apis/cleo/hi", None),
    ("POST", "apis/cleo/hi/activate", {"version": 1}),
    ("POST", "apis/cleo/hi/start", None),
    ("POST", "apis/cleo/hi/stop", None),
    ("GET", "apis/cleo/hi/log", None),
    ("GET", "apis/cleo/hi/stats", None),
    ("GET", "apis/cleo/hi/versions/1", None),
]


async def test_who_is_added_under_a_name_gets_nothing_of_who_had_it_before_that_is_noticed(
    ask: Client, publishing: Publishing
) -> None:
    for name, access in (("hi", "token"), ("listed", "listed"), ("all", "users")):
        assert (await ask.save("first", f"cleo/{name}", access=access)).status_code == 201
    assert (await ask("second", "GET", "apis")).json() == {"apis": []}
    for name in ("hi", "listed"):
        assert fault(await ask("second", "GET", f"apis/cleo/{name}"), 404).code == "api.unknown"
    seen = msgspec.json.decode((await ask("second", "GET", "apis/cleo/all")).content, type=Detail)
    assert (seen.mine, seen.changes, seen.version.source) == (False, False, "")
    for method, path, body in OF_ITS_PUBLISHER:
        refused = fault(await ask("second", method, path, body), 403)
        assert refused.code == "api.owner" and "was removed" in refused.message
    assert (await ask.save("second", "cleo/own")).status_code == 201
    assert [one["api"] for one in (await ask("second", "GET", "apis")).json()["apis"]] == ["own"]
    assert {api.stopped for api, _ in publishing.published} == {""}
    assert len((await ask("first", "GET", "apis")).json()["apis"]) == 3
    assert (await ask("first", "GET", "apis/cleo/hi/log")).status_code == 200


async def test_what_an_admin_starts_of_somebody_removed_is_the_newcomers_alone(
    ask: Client, publishing: Publishing
) -> None:
    await ask.save("first", "cleo/hi", access="token")
    await publishing.saving.stop("cleo", "hi", WHO, "gone")
    assert (await ask("root", "POST", "apis/cleo/hi/start")).status_code == 200
    # of who has the name, until it is seen who that is
    assert (await ask.save("second", "cleo/hi", access="listed")).status_code == 200
    assert publishing.published.find("cleo", "hi")[0].account == SECOND
    assert fault(await ask("first", "GET", "apis/cleo/hi"), 404).code == "api.unknown"


async def test_the_audit_of_somebody_removed_is_not_told_to_who_has_the_name_next(
    ask: Client, publishing: Publishing
) -> None:
    async def told(who: str) -> list[tuple[str, str, str]]:
        rows = (await ask(who, "GET", "audit")).json()["rows"]
        return [(row["who"], row["what"], row["api"]) for row in rows]

    await ask.save("root", "cleo/given")  # as whose, nobody knows yet
    await ask.save("first", "cleo/removed")
    await ask("first", "DELETE", "apis/cleo/removed")
    await ask.save("first", "cleo/hi")
    assert await told("second") == []
    firsts = [("cleo", "save", "hi"), ("cleo", "remove", "removed"), ("cleo", "save", "removed"),
              ("root", "save", "given")]  # fmt: skip
    assert await told("first") == firsts
    await ask.save("second", "cleo/removed")
    await publishing.saving.stop("cleo", "hi", WHO, "gone", detail="cleo is somebody else now")
    await ask.save("second", "cleo/own")
    await ask("root", "DELETE", "apis/cleo/hi")
    assert await told("second") == [("cleo", "save", "own"), ("cleo", "save", "removed")]
    assert len(await told("root")) == 8
    one = (await ask("second", "GET", "audit?limit=1")).json()["rows"]
    assert [row["api"] for row in one] == ["own"]


async def test_the_log_of_a_removed_api_is_not_that_of_the_next_one_of_its_name(
    ask: Client, publishing: Publishing
) -> None:
    async def logged(who: str) -> list[str]:
        lines = (await ask(who, "GET", "apis/cleo/hi/log")).json()["lines"]
        return [line["text"] for line in lines]

    await ask.save("first", "cleo/hi")
    version = publishing.published.find("cleo", "hi")[1]
    publishing.ledger.called(version, "hello", 200, 0.01, "secret")
    assert await logged("first") == ["cleo: save", "secret"]
    await ask("first", "DELETE", "apis/cleo/hi")
    await ask.save("second", "cleo/hi")
    assert await logged("second") == ["cleo: save"]


async def test_what_somebody_left_takes_no_room_of_who_has_the_name(
    ask: Client, publishing: Publishing
) -> None:
    most = publishing.settings.bounds.apis_per_publisher
    for number in range(most):
        await ask.save("first", f"cleo/n{number}")
    assert fault(await ask.save("first", "cleo/more"), 429).code == "api.quota"
    assert (await ask.save("second", "cleo/own")).status_code == 201


async def test_a_token_for_less_than_its_publisher_may_does_not_stop_an_api(ask: Client) -> None:
    await ask.save("ada", "ada/hi", access="token")
    assert fault(await ask("narrow", "POST", "apis/ada/hi/stop"), 403).code == "api.publish"
    assert fault(await ask("narrow", "GET", "apis/ada/hi/log"), 403).code == "api.publish"
    assert fault(await ask("narrow", "GET", "apis/ada/hi"), 404).code == "api.unknown"


async def test_who_may_call_sees_an_api_and_neither_its_source_nor_its_lists(ask: Client) -> None:
    await ask.save("ada", "ada/all", access="users")
    await ask.save("ada", "ada/lab", access="listed", groups=["lab"], users=["cleo"])
    await ask.save("ada", "ada/own", access="token")
    seen = {}
    for who in ("bob", "eve"):
        apis = (await ask(who, "GET", "apis?shared=1")).json()["apis"]
        seen[who] = {one["api"] for one in apis}
    assert seen == {"bob": {"all", "lab"}, "eve": {"all"}}
    detail = msgspec.json.decode((await ask("bob", "GET", "apis/ada/lab")).content, type=Detail)
    assert not detail.mine and not detail.versions
    assert (detail.version.source, detail.version.options.users) == ("", [])
    assert fault(await ask("eve", "GET", "apis/ada/lab"), 404).code == "api.unknown"


async def test_a_source_at_fault_is_told_with_its_lines_and_what_it_printed(ask: Client) -> None:
    body = {"source": "(((", "functions": ["hello"]}
    refused = fault(await ask("ada", "PUT", "apis/ada/hi", body), 400)
    assert refused.code == "source.syntax"
    assert refused.frames is not None and refused.frames[0].line == 1
    body = {"source": "a(x) = 1", "functions": ["hello"]}
    assert fault(await ask("ada", "PUT", "apis/ada/hi", body), 400).output == "hm"
    checked = await ask("ada", "POST", "check", body)
    assert checked.status_code == 200
    assert checked.json()["code"] == "source.missing"
    assert fault(await ask("eve", "POST", "check", body), 403).code == "api.publish"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"sauce": ""}',
        b'{"source": 1}',
        b'{"functions": ["a b"], "source": ""}',
        b'{"source": "\\ud800", "functions": ["f"]}',
        b'{"options": {"access": "everybody"}, "source": "", "functions": ["f"]}',
        b"\xff",
        b"[" * 100_000,
    ],
    ids=["empty", "list", "cut", "unknown", "kind", "name", "half", "word", "bytes", "deep"],
)
async def test_a_body_that_is_none_is_refused(ask: Client, body: bytes) -> None:
    refused = fault(await ask("ada", "PUT", "apis/ada/hi", body), 400)
    assert refused.code in {"api.body", "api.source"}


async def test_what_is_too_large_or_no_method_or_no_argument_is_refused(ask: Client) -> None:
    await ask.save("ada", "ada/hi")
    assert fault(await ask("ada", "PUT", "apis/ada/hi", b" " * 2_000_000), 413)
    answer = await ask("ada", "PATCH", "apis/ada/hi")
    assert fault(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "PUT", "DELETE"}
    for query in ("log?limit=0", "log?after=x", "log?limit=²", "stats?hours=1000", "log?after=-1"):
        assert fault(await ask("ada", "GET", f"apis/ada/hi/{query}"), 400).code == "api.query"
    assert fault(await ask.save("root", "_/hi"), 400).code == "api.publisher"
    assert fault(await ask("ada", "POST", "apis/ada/hi/activate", {"version": 9}), 404)
    assert fault(await ask("ada", "POST", "apis/ada/hi/activate", {"version": 0}), 400)


async def test_a_body_of_who_may_not_come_in_is_not_kept(ask: Client, room: Room) -> None:
    go_on = asyncio.Event()

    async def drip() -> AsyncIterator[bytes]:
        yield b" " * 1_200_000
        await go_on.wait()
        yield b" "

    drips = [asyncio.create_task(ask(who, "PUT", "apis/ada/hi", drip())) for who in ("", "robot")]
    await asyncio.sleep(0.5)  # by which it has come, as a rule
    for _ in range(3):  # there is room for one of a publisher at a time
        assert (await ask("ada", "PUT", "apis/ada/hi", b" " * 1_400_000)).status_code == 400
    go_on.set()
    answers = await asyncio.gather(*drips)
    assert [answer.status_code for answer in answers] == [401, 403]
    go_on.clear()
    before = room._left
    mine = asyncio.create_task(ask("ada", "PUT", "apis/ada/hi", drip()))
    await until(lambda: before - room._left == 1_200_000)
    crowded = fault(await ask("ada", "PUT", "apis/ada/hi", b" " * 1_400_000), 503)
    assert crowded.code == "api.overload"
    go_on.set()
    assert (await mine).status_code == 400


async def test_log_figures_and_audit_are_answered(ask: Client, publishing: Publishing) -> None:
    await ask.save("ada", "ada/hi")
    version = publishing.published.find("ada", "hi")[1]
    publishing.ledger.called(version, "hello", 200, 0.01, "said")
    lines = (await ask("ada", "GET", "apis/ada/hi/log")).json()["lines"]
    assert [line["kind"] for line in lines] == ["audit", "call"]
    assert lines[1]["text"] == "said"
    after = lines[1]["number"]
    assert (await ask("ada", "GET", f"apis/ada/hi/log?after={after}")).json() == {"lines": []}
    answer = await ask("ada", "GET", "apis/ada/hi/stats?hours=2")
    stats = msgspec.json.decode(answer.content, type=Stats)
    assert len(stats.buckets) == 120
    assert sum(bucket.calls for bucket in stats.buckets) == 1
    assert stats.containers == 1
    await ask.save("bob", "bob/ho")
    own = (await ask("ada", "GET", "audit")).json()["rows"]
    assert [row["publisher"] for row in own] == ["ada"]
    assert len((await ask("root", "GET", "audit")).json()["rows"]) == 2


async def test_a_database_that_is_away_is_503_with_a_time_to_come_again(
    ask: Client, faint: FaintDatabase, back: CheckingBack
) -> None:
    await ask.save("ada", "ada/hi")
    faint.fault = UnavailableError("gone", code="db.unavailable")
    answer = await ask("ada", "POST", "apis/ada/hi/stop")
    assert fault(answer, 503).code == "api.database"
    assert int(answer.headers["Retry-After"]) > 0
    assert (await ask("ada", "GET", "apis")).status_code == 200
    active = back.active["ada", "hi"]
    assert active is not None
