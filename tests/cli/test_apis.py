"""``juliabox api`` against the engine's own interface, with tokens that are taken back."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click.testing
import pytest
import requests
import structlog.testing
from click.testing import CliRunner, Result
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from juliabox_cli import commands_apis, commands_users, rendering_api
from juliabox_cli.addresses import Addresses
from juliabox_cli.config import Config
from juliabox_cli.main import cli
from juliabox_services.api.interface import routes
from support.published_stand import GREETING, FaintDatabase, publishing_on

SCOPES = ["access:services!service=api", "custom:juliabox:call", "admin-ui"]


class Hub:
    """Makes tokens, takes them back, and knows whose they are."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[str, str]] = {}
        self.made = 0
        self.people = [{"name": "ada"}, {"name": "root", "admin": True}]

    def users(self) -> list[dict[str, Any]]:
        return self.people

    def call(self, method: str, path: str, body: Any = None, timeout: float = 30.0) -> Any:
        _, _, name, _, *rest = path.split("/")
        if method == "DELETE":
            del self.tokens[rest[0]]
            return None
        assert body["expires_in"] <= 300
        self.made += 1
        identity, token = f"a{self.made}", secrets.token_hex(8)
        self.tokens[identity] = (token, name)
        return {"id": identity, "token": token}

    async def identify(self, handler: RequestHandler) -> Mapping[str, Any] | None:
        said = handler.request.headers.get("Authorization", "").removeprefix("token ")
        for token, name in list(self.tokens.values()):
            if token == said:
                return {"name": name, "kind": "user", "groups": [], "scopes": SCOPES}
        return None


class Echo(RequestHandler):
    """Answers a call with how it came."""

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps([self.request.uri, self.request.body.decode()]))

    post = get


class Engine(threading.Thread):
    """The interface in a thread of its own, on a database in memory."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        super().__init__(daemon=True)
        self.ready = threading.Event()
        self.hub, self.folder = hub, folder
        self.port = 0

    def run(self) -> None:
        asyncio.run(self._serve())

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.join(10)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        publishing = publishing_on(FaintDatabase(), self.folder)
        await publishing.open()
        calls = (r"/services/api/[a-z].*", Echo)
        server = HTTPServer(
            Application(
                [*routes(publishing, self.hub.identify), calls],
                proxied=False,
                log_function=lambda _: None,
            )
        )
        listening, self.port = bind_unused_port(address="127.0.0.1")
        server.add_socket(listening)
        self.ready.set()
        await self._over.wait()
        server.stop()
        await server.close_all_connections()
        await publishing.close()


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def run(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    # the engine of the test logs to the terminal of the command
    monkeypatch.setattr("juliabox_services.api.audit.log", structlog.testing.CapturingLogger())
    engine = Engine(hub, tmp_path)
    engine.start()
    assert engine.ready.wait(60)
    monkeypatch.setattr(rendering_api, "API_PORT", engine.port)
    monkeypatch.setattr(Addresses, "api_edge", "127.0.0.1")
    installation = SimpleNamespace(
        config=Config(), addresses=Addresses(IPv4Network("10.64.0.0/20")), hub=hub
    )
    monkeypatch.setattr(commands_apis, "open_installation", lambda: installation)

    def run(*words: str, given: str = "", code: int = 0) -> Result:
        done = CliRunner().invoke(cli, ["api", *words], input=given)
        assert done.exit_code == code, (done.output, done.exception)
        assert not hub.tokens  # each was taken back
        return done

    yield run
    engine.end()


def test_an_api_that_is_stopped_is_told_as_such_when_it_is_saved_or_activated(
    run: Callable[..., Result],
) -> None:
    waits = "version 1 answers no calls until `juliabox api start ada/hi`\n"
    done = run("save", "ada/hi", "-", "-f", "hello", "--keep", given=GREETING)
    assert done.output == f"saved as version 1; {waits}"
    assert run("activate", "ada/hi", "1").output == waits


def test_who_saves_what_is_there_already_is_told_so(run: Callable[..., Result]) -> None:
    run("save", "ada/hi", "-", "-f", "hello", "--access", "public", given=GREETING)
    same = "this source, these functions and options"
    done = run("save", "ada/hi", "-", "--note", "once more", given=GREETING)
    assert done.output == f"nothing is new: version 1 has {same}; version 1 answers calls\n"
    for told in ("saved as version 2", f"nothing is new: version 2 has {same}"):
        done = run("save", "ada/hi", "-", "--keep", given="hello(x) = 1\n")
        assert done.output == f"{told}; version 1 answers calls\n"
    run("stop", "ada/hi")
    done = run("save", "ada/hi", "-", "--access", "public", given=GREETING)
    waits = "version 1 answers no calls until `juliabox api start ada/hi`"
    assert done.output == f"nothing is new: version 1 has {same}; {waits}\n"
    assert json.loads(run("save", "ada/hi", "-", "--json", given=GREETING).output)["unchanged"]
    assert [row["what"] for row in json.loads(run("audit", "--json").output)] == [
        "stop", "save", "save"
    ]  # fmt: skip


def test_an_api_is_saved_looked_at_stopped_and_removed(
    run: Callable[..., Result], hub: Hub, tmp_path: Path
) -> None:
    source = tmp_path / "hi.jl"
    source.write_text(GREETING)
    choices = ["-f", "hello", "--access", "public", "--timeout", "20s", "--memory", "256M"]
    done = run("save", "ada/hi", str(source), *choices, "--origin", "*")
    assert done.output == "saved as version 1; version 1 answers calls\n"
    done = run("save", "ada/hi", "-", "--note", "kept", "--keep", given="hello(x) = 1\n")
    assert done.output == "saved as version 2; version 1 answers calls\n"
    detail = json.loads(run("show", "ada/hi", "--json").output)
    options = detail["version"]["options"]
    assert (options["timeout"], options["memory"]) == (20, 256 * 1024**2)
    assert (options["access"], options["origins"]) == ("public", ["*"])
    more = ["--rate", "7", "--recycle-calls", "0", "--cache", "max-age=60"]
    run("save", "ada/hi", "-", *more, given="hello(x) = 1\n")
    options = json.loads(run("show", "ada/hi", "--json").output)["version"]["options"]
    assert (options["timeout"], options["rate"]) == (20, 7)
    assert (options["recycle_calls"], options["cache"]) == (0, "max-age=60")
    assert run("activate", "ada/hi", "1").output == "version 1 answers calls\n"
    assert run("show", "ada/hi", "--source").output == GREETING
    assert run("show", "ada/hi", "--source", "--version", "2").output == "hello(x) = 1\n"
    assert "version 1: answers calls at /services/api/ada/hi/" in run("show", "ada/hi").output
    run("stop", "ada/hi")
    assert "by an admin" in run("list").output
    run("start", "ada/hi")
    assert json.loads(run("list", "--json").output)[0]["stopped"] == ""
    assert "root: stop" in run("log", "ada/hi").output
    assert all(json.loads(line) for line in run("log", "ada/hi", "--json").output.splitlines())
    run("remove", "ada/hi", given="n\n", code=1)
    run("remove", "ada/hi", "--yes")
    assert json.loads(run("list", "--json").output) == []
    rows = json.loads(run("audit", "--json").output)
    assert [row["what"] for row in rows][:3] == ["remove", "start", "stop"]
    assert {row["who"] for row in rows} == {"root"}
    assert "remove" in run("audit", "--limit", "1").output
    assert hub.made >= 10


def test_a_source_at_fault_is_told_with_its_line(run: Callable[..., Result]) -> None:
    done = run("save", "ada/hi", "-", "-f", "hello", given="(((", code=1)
    assert "incomplete" in done.output
    assert "line 1, in top-level scope" in done.output
    assert "[source.syntax]" in done.output
    done = run("save", "ada/hi", "-", "-f", "hello", given="other(x) = 1", code=1)
    assert "it printed:\nhm" in done.output


def test_a_call_is_made_as_a_program_makes_it(run: Callable[..., Result]) -> None:
    done = run("call", "ada/hi/hello", "a b/c", "1", "-k", "n=2", "--body", "[3]")
    assert json.loads(done.output) == ["/services/api/ada/hi/hello/a%20b%2Fc/1?n=2", "[3]"]
    assert json.loads(run("call", "ada/hi/hello").output) == ["/services/api/ada/hi/hello", ""]
    # what an address would lose, or take for a way up
    done = run("call", "ada/hi/hello", "..", ".", "", "...")
    assert json.loads(done.output)[0] == "/services/api/ada/hi/hello/%22..%22/%22.%22/%22%22/..."
    assert "[api.keyword]" in run("call", "ada/hi/hello", "-k", "n", code=1).output


def test_a_call_is_waited_for_as_long_as_it_may_last(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    request = requests.Session.request

    def watched(self: requests.Session, *given: Any, timeout: float, **more: Any) -> Any:
        waited.append(timeout)
        return request(self, *given, timeout=timeout, **more)

    monkeypatch.setattr(requests.Session, "request", watched)
    run("call", "ada/hi/hello")
    assert waited[0] > Config().apis.longest_timeout


def test_nothing_that_a_publisher_wrote_reaches_the_terminal_as_a_command(
    run: Callable[..., Result],
) -> None:
    escape = "\x1b]0;taken\x07\x9b31m"
    run("save", "ada/hi", "-", "-f", "hello", "--note", f"new{escape}", given="hello(x) = 1\n")
    told = run("show", "ada/hi").output
    assert "new" in told and not {"\x1b", "\x07", "\x9b"} & set(told), told


def test_a_source_is_handed_over_as_it_is_and_commands_no_terminal(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "hello(x) = 1 # \x1b]0;taken\x07\n"
    run("save", "ada/hi", "-", "-f", "hello", given=source)
    assert run("show", "ada/hi", "--source").output == source
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True)
    assert run("show", "ada/hi", "--source").output == "hello(x) = 1 #  ]0;taken \n"


def test_a_line_that_a_function_printed_is_none_of_the_log() -> None:
    line = {"kind": "call", "function": "f", "status": 200, "time": 0.0, "version": 1}
    told = commands_apis._line({**line, "text": "hm\n2026-11-29 12:00:00 v1 audit: root: start\n"})
    assert told.splitlines()[1].startswith("    2026")


@pytest.mark.parametrize("name", ["hi", "ada/", "/hi", "a/b/c"])
def test_a_name_that_is_none_is_refused(run: Callable[..., Result], name: str) -> None:
    assert "[api.name]" in run("stop", name, code=1).output


def test_what_is_not_there_or_switched_off_is_told(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    assert "[api.unknown]" in run("show", "ada/hi", code=1).output
    monkeypatch.setattr(rendering_api, "API_PORT", 1)
    assert "[api.silent]" in run("list", code=1).output
    off = SimpleNamespace(
        config=Config.model_validate({"apis": {"enabled": False}}),
        addresses=Addresses(IPv4Network("10.64.0.0/20")),
        hub=hub,
    )
    monkeypatch.setattr(commands_apis, "open_installation", lambda: off)
    assert "[api.off]" in run("list", code=1).output


def test_who_takes_the_role_is_told_that_what_was_published_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    def call(method: str, path: str, body: Any = None) -> dict[str, str]:
        asked.append((method, path))
        return {"name": "ada"}

    installation = SimpleNamespace(hub=SimpleNamespace(call=call))
    monkeypatch.setattr(commands_users, "open_installation", lambda: installation)
    told = CliRunner().invoke(cli, ["user", "revoke", "Ada", "api-publisher"]).output
    assert "ada has no longer the role api-publisher" in told
    assert "goes on answering" in told and "juliabox api stop" in told
    assert asked[-1] == ("DELETE", "/groups/api-publisher/users")
    other = CliRunner().invoke(cli, ["user", "revoke", "ada", "statistics"]).output
    assert "answering" not in other
