"""The front of the API engine on loopback, with functions in Python behind it and a small hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import tornado.web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from juliabox_ext.errors import NotFoundError
from juliabox_services.api.access import CALL_SCOPE, Callers
from juliabox_services.api.app import PLAIN_BYTES, application
from juliabox_services.api.async_results import Results
from juliabox_services.api.base import Front
from juliabox_services.api.engine_contract import Answer, Back, Call, CallError, Checked, Load
from juliabox_services.api.metrics import Metrics
from juliabox_services.api.models import Api, Argument, Frame, Function, Method, Options, Version
from juliabox_services.api.people import SCOPE, People
from juliabox_services.api.rates import Rates, Room
from juliabox_services.api.settings import ApiSettings, Bounds
from juliabox_spawner.settings import ManagerAddress

PREFIX = "/services/api/"
PNG = b"\x89PNG\r\n\x1a\n"

Body = Callable[[list[Any], dict[str, Any]], Awaitable[Answer]]


def plain(value: Any, **more: Any) -> Answer:
    """Return an answer in JSON."""
    return Answer(type="application/json", body=json.dumps(value).encode(), **more)


def taking(name: str, *types: str, doc: str = "", keywords: tuple[str, ...] = ()) -> Function:
    """Return a function with one method that takes arguments of these types."""
    arguments = [Argument(name=f"x{place}", type=kind) for place, kind in enumerate(types, 1)]
    named = [Argument(name=one, required=False) for one in keywords]
    return Function(name=name, methods=[Method(arguments=arguments, keywords=named)], doc=doc)


class Functions(Back):
    """Carries calls out in this process: a table of functions by name."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.gone: list[str] = []
        self.table: dict[str, Body] = {}
        self.closed_streams = 0

    async def call(self, version: Version, call: Call) -> Answer:
        """Decode as a worker does, and call."""
        self.calls.append(call)
        arguments = json.loads(call.arguments)
        keywords = json.loads(call.keywords)
        if call.body:
            try:
                body = json.loads(call.body)
            except ValueError as error:
                raise CallError(str(error), code="api.body", status=400) from None
            if isinstance(body, list):
                arguments += body
            elif isinstance(body, dict):
                keywords |= body
            else:
                arguments.append(body)
        try:
            return await self.table[call.function](arguments, keywords)
        except asyncio.CancelledError:
            self.gone.append(call.request)
            raise

    async def check(self, publisher: str, api: str, source: str, functions: list[str]) -> Checked:
        """Find nothing wrong."""
        return Checked()

    def activate(self, version: Version | None, publisher: str, api: str) -> None:
        """Do nothing."""

    def load(self, publisher: str, api: str) -> Load:
        """Keep nothing busy."""
        return Load()

    async def drain(self, seconds: float) -> None:
        """Have nothing to wait for."""


class Shelf:
    """What is published."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[Api, Version]] = {}

    def find(self, publisher: str, api: str) -> tuple[Api, Version]:
        """Return it, or raise as the engine does."""
        try:
            return self.kept[publisher, api]
        except KeyError:
            raise NotFoundError("There is no such API", code="api.unknown") from None


class Notes:
    """Calls as they were noted."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def called(
        self, version: Version, function: str, status: int, seconds: float, *,
        printed: str = "", request: str = "", message: str = "",
    ) -> None:  # fmt: skip
        """Keep a call."""
        self.rows.append(
            {"version": version.version, "function": function, "status": status,
             "seconds": seconds, "printed": printed, "request": request, "message": message}
        )  # fmt: skip


class _User(tornado.web.RequestHandler):
    def initialize(self, hub: SmallHub) -> None:
        self.hub = hub

    async def get(self) -> None:
        token = self.request.headers.get("Authorization", "").removeprefix("token ")
        self.hub.asked[token] += 1
        await asyncio.sleep(self.hub.pause)
        if self.hub.status:
            self.set_status(self.hub.status)
        elif token in self.hub.tokens:
            self.finish(self.hub.tokens[token])
        else:
            self.set_status(403)


class _Person(tornado.web.RequestHandler):
    def initialize(self, hub: SmallHub) -> None:
        self.hub = hub

    async def get(self, name: str) -> None:
        token = self.request.headers.get("Authorization", "").removeprefix("token ")
        self.hub.asked[name] += 1
        known = 200 if name in self.hub.people else 404
        status = self.hub.status or (known if token in self.hub.tokens else 403)
        status = 500 if name in self.hub.stumbles else status
        account = self.hub.accounts.get(name)
        await self.hub.go_on.wait()
        self.set_status(status)
        told = {"name": name, "kind": "user"} | ({"created": account} if account else {})
        self.finish(told if status == 200 else {"status": status})


class SmallHub:
    """The routes of the hub that the engine asks."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        #: Status of all answers, if not 0, and seconds until they come.
        self.status = 0
        self.pause = 0.0
        socket, self.port = bind_unused_port()
        #: Those who are there, for whom asks by name with a token.
        self.people: set[str] = set()
        #: Those over whom the hub stumbles.
        self.stumbles: set[str] = set()
        #: When their accounts were made, of whom that is told; and whether what was found out of
        #: somebody is answered.
        self.accounts: dict[str, str] = {}
        self.go_on = asyncio.Event()
        self.go_on.set()
        routes = [
            (r"/hub/api/user", _User, {"hub": self}),
            (r"/hub/api/users/([^/]+)", _Person, {"hub": self}),
        ]
        self.server = HTTPServer(tornado.web.Application(routes, log_function=lambda _: None))
        self.server.add_socket(socket)

    @property
    def url(self) -> str:
        """Address of the hub's API."""
        return f"http://127.0.0.1:{self.port}/hub/api"

    def token(
        self, name: str, *scopes: str, groups: tuple[str, ...] = (), kind: str = "user"
    ) -> str:
        """Make a token; with the scope of all people unless others are named."""
        token = f"token-{len(self.tokens)}-of-{name}"
        self.tokens[token] = {
            "name": name, "kind": kind, "groups": list(groups),
            "scopes": list(scopes or (CALL_SCOPE,)), "admin": False, "server": None,
        }  # fmt: skip
        return token

    def close(self) -> None:
        """Answer no more."""
        self.server.stop()


class FrontStand:
    """One front. Made within the event loop; ``close`` it."""

    def __init__(self, folder: Path, *, proxied: bool = False, body_seconds: float = 20.0,
                 room: int = 64 * 1024**2,
                 engine: Back | None = None, **bounds: Any) -> None:  # fmt: skip
        self.hub, self.back, self.shelf, self.notes = SmallHub(), Functions(), Shelf(), Notes()
        self.people = People(self.hub.url, self.hub.token("api", SCOPE, kind="service"))
        callers, secret = Callers(self.hub.url, self.people), folder / "manager.key"
        # what callers may do in a minute does not come again, however long a test takes
        callers._unknown._clock = lambda: 100.0
        settings = ApiSettings(
            installation="stand", public_url="http://127.0.0.1/", addresses=["127.0.0.1"], port=0,
            metrics_address="127.0.0.1", metrics_port=0, folder=folder, secrets=folder,
            hub_api=self.hub.url, manager=ManagerAddress("tcp://127.0.0.1:1", "", secret),
            bounds=Bounds(**bounds),
        )  # fmt: skip
        self.front = Front(
            settings=settings, published=self.shelf, ledger=self.notes, back=engine or self.back,
            callers=callers, rates=Rates(clock=lambda: 100.0), results=Results(), metrics=Metrics(),
            room=Room(room),
        )  # fmt: skip
        made = application(self.front, [], proxied=proxied, body_seconds=body_seconds)
        socket, self.port = bind_unused_port()
        self.server = HTTPServer(made, max_body_size=PLAIN_BYTES, max_header_size=32 * 1024)
        self.server.add_socket(socket)
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.AsyncClient(base_url=f"{self.url}{PREFIX}", timeout=40)
        self._add_functions()

    def publish(
        self,
        name: str = "ada/sums",
        *functions: Function,
        stopped: str = "",
        version: int = 1,
        account: str = "",
        **options: Any,
    ) -> Version:
        """Publish some of the functions; all of them by default, to everybody."""
        publisher, _, api = name.partition("/")
        options.setdefault("access", "public")
        saved = Version(
            publisher=publisher, api=api, version=version, source="", saved=1.0, saved_by=publisher,
            functions=list(functions) or [Function(name=one) for one in self.back.table],
            options=Options(**options),
        )  # fmt: skip
        entry = Api(publisher=publisher, api=api, active=version, newest=version, created=1.0,
                    stopped=stopped, account=account)  # type: ignore[arg-type]  # fmt: skip
        self.shelf.kept[publisher, api] = (entry, saved)
        return saved

    async def get(self, path: str, token: str = "", **options: Any) -> httpx.Response:
        """GET an address below the engine's own."""
        return await self.ask("GET", path, token, **options)

    async def ask(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        """Send a request."""
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.request(method, path, headers=headers, **options)

    async def raw(self, text: bytes, *more: bytes, pause: float = 0.0) -> bytes:
        """Send bytes, one piece after another, and return all that comes until the end.

        A connection that is reset has an end as well.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        came = bytearray()

        async def read() -> None:
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    came.extend(piece)

        reading = asyncio.create_task(read())
        try:
            with contextlib.suppress(ConnectionError):
                for piece in (text, *more):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
            async with asyncio.timeout(40):
                await reading
        finally:
            writer.close()
        return bytes(came)

    async def close(self) -> None:
        """End everything."""
        await self.http.aclose()
        self.server.stop()
        await self.server.close_all_connections()
        await self.front.results.close()
        self.front.callers.close()
        self.people.close()
        self.hub.close()

    # -- functions

    def _add_functions(self) -> None:
        async def echo(arguments: list[Any], keywords: dict[str, Any]) -> Answer:
            return plain({"arguments": arguments, "keywords": keywords}, printed="echo\n")

        async def boom(_: list[Any], __: dict[str, Any]) -> Answer:
            frames = [Frame(function="boom", line=3)]
            raise CallError(
                "DomainError", code="api.error", status=500, frames=frames, printed="so far\n"
            )

        async def busy(_: list[Any], __: dict[str, Any]) -> Answer:
            raise CallError("too many", code="api.overload", status=503, retry_after=7)

        async def wait(arguments: list[Any], _: dict[str, Any]) -> Answer:
            await asyncio.sleep(arguments[0])
            return plain("waited")

        async def give(arguments: list[Any], _: dict[str, Any]) -> Answer:
            kind, text = arguments
            return Answer(type=kind, body=text.encode("latin-1"))

        async def broken(_: list[Any], __: dict[str, Any]) -> Answer:
            raise RuntimeError("the secret of the back")

        async def count(arguments: list[Any], keywords: dict[str, Any]) -> Answer:
            items = self._items(arguments[0], float(keywords.get("pause", 0)), keywords.get("fail"))
            return Answer(type="application/json", body=b"", items=items)

        self.back.table |= {
            "echo": echo, "boom": boom, "busy": busy, "wait": wait, "give": give,
            "broken": broken, "count": count,
        }  # fmt: skip

    async def _items(self, number: int, pause: float, fail: int | None) -> AsyncIterator[bytes]:
        try:
            for one in range(1, number + 1):
                await asyncio.sleep(pause)
                if one == fail:
                    raise CallError("no more", code="api.error", status=500)
                yield json.dumps(one).encode()
        finally:
            self.back.closed_streams += 1
