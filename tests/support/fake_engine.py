"""The interface of an engine of published APIs that carries nothing out.

It keeps what is saved, knows callers by the hub as the real one does, and answers calls with what
it was called with.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from juliabox_services.api import models as e
from juliabox_services.api.engine_contract import Checked
from juliabox_services.api.settings import Bounds

PREFIX = "/services/api/"
ROLE = "api-publisher"


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.fault = e.Fault(code=code, message=message, **more)


@dataclass
class Kept:
    """One API."""

    versions: list[e.Version]
    active: int
    stopped: str = ""


@dataclass
class World:
    """What the engine has, and what it was asked."""

    hub_api: str
    apis: dict[tuple[str, str], Kept] = field(default_factory=dict)
    audit: list[e.AuditRow] = field(default_factory=list)
    #: Token, method, path and body of every call of a function.
    calls: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    #: Ends the calls of ``slow``.
    go_on: threading.Event = field(default_factory=threading.Event)
    #: Status and body of every answer from now on.
    broken: tuple[int, bytes] | None = None

    def find(self, publisher: str, api: str) -> Kept:
        """Return an API."""
        kept = self.apis.get((publisher, api))
        if kept is None:
            raise Refused(404, "api.unknown", f"there is no API {publisher}/{api}")
        return kept

    def note(self, who: str, what: str, publisher: str, api: str, version: int = 0) -> None:
        """Add a row to the audit."""
        row = e.AuditRow(
            time=time.time(), who=who, what=what, publisher=publisher, api=api, version=version
        )
        self.audit.append(row)


def summary(publisher: str, api: str, kept: Kept) -> e.Summary:
    """Return an API as lists have it."""
    version = kept.versions[kept.active - 1]
    return e.Summary(
        publisher=publisher,
        api=api,
        active=kept.active,
        newest=len(kept.versions),
        functions=[one.name for one in version.functions],
        access=version.options.access,
        description=version.options.description,
        stopped=kept.stopped,  # type: ignore[arg-type]  # only its words are set
        url=f"{PREFIX}{publisher}/{api}/",
    )


def check(source: str, functions: list[str]) -> list[e.Function]:
    """Return the functions of a source; each must be defined in a line of its own."""
    for number, line in enumerate(source.splitlines(), 1):
        if "syntax error" in line:
            frames = [e.Frame(function="top-level scope", line=number)]
            raise Refused(
                400, "source.syntax", "this is no Julia", frames=frames, output="loading\n"
            )
    absent = [name for name in functions if f"{name}(" not in source]
    if absent:
        raise Refused(400, "source.missing", f"there is no function {absent[0]}")
    return [
        e.Function(name=name, methods=[e.Method(arguments=[e.Argument(name="n", type="Integer")])])
        for name in functions
    ]


class Base(RequestHandler):
    """Who calls, and answers."""

    @property
    def world(self) -> World:
        """What there is."""
        world: World = self.settings["world"]
        return world

    async def prepare(self) -> None:
        """Find the caller by the hub."""
        if self.world.broken is not None:
            status, body = self.world.broken
            self.set_status(status)
            self.finish(body)
            return
        given = self.request.headers.get("Authorization", "").partition(" ")[2]
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.get(
                f"{self.world.hub_api}/user", headers={"Authorization": f"token {given}"}
            )
        if answer.status_code != 200:
            raise Refused(403, "api.login", "no token of the hub")
        self.token, self.model = given, answer.json()
        self.name = str(self.model["name"])

    @property
    def admin(self) -> bool:
        """Whether an admin calls."""
        return "admin-ui" in self.model["scopes"]

    @property
    def publisher(self) -> bool:
        """Whether the caller may publish."""
        return self.admin or ROLE in self.model.get("groups", [])

    def answer(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))

    def write_error(self, status_code: int, **details: Any) -> None:
        """Answer with a fault."""
        error = details.get("exc_info", (None, None, None))[1]
        if isinstance(error, Refused):
            self.answer(error.fault, error.status)
        elif isinstance(error, msgspec.MsgspecError):
            self.answer(e.Fault(code="api.request", message=str(error)), 400)
        else:
            self.answer(e.Fault(code="internal", message=repr(error)), 500)

    def log_exception(self, *_: Any) -> None:
        """Print nothing."""


class Interface(Base):
    """Everything below ``_/``."""

    async def get(self, path: str) -> None:
        """Answer what is asked for."""
        parts = path.split("/")
        if path == "me":
            me = {"name": self.name, "admin": self.admin, "publisher": self.publisher}
            self.answer({**me, "bounds": Bounds()})
        elif path == "apis":
            self.answer({"apis": [summary(*key, kept) for key, kept in self._listed()]})
        elif path == "audit":
            rows = [one for one in self.world.audit if self.admin or one.publisher == self.name]
            self.answer({"rows": rows})
        elif parts[0] == "apis" and len(parts) >= 3:
            self._one(parts)
        else:
            raise Refused(404, "api.unknown", path)

    def _listed(self) -> list[tuple[tuple[str, str], Kept]]:
        if self.get_argument("all", ""):
            if not self.admin:
                raise Refused(403, "api.scope", "for admins")
            return list(self.world.apis.items())
        if self.get_argument("shared", ""):
            return [one for one in self.world.apis.items() if self._may_call(one[1])]
        return [one for one in self.world.apis.items() if one[0][0] == self.name]

    def _may_call(self, kept: Kept) -> bool:
        options = kept.versions[kept.active - 1].options
        return options.access in ("public", "users") or self.name in options.users

    def _one(self, parts: list[str]) -> None:
        publisher, api, rest = parts[1], parts[2], parts[3:]
        kept = self.world.find(publisher, api)
        mine = self.admin or publisher == self.name
        if not mine and (rest or not self._may_call(kept)):
            raise Refused(403, "api.access", "this is not yours")
        if not rest:
            self.answer(self.detail(publisher, api))
        elif rest[0] == "versions" and 0 < int(rest[1]) <= len(kept.versions):
            self.answer(kept.versions[int(rest[1]) - 1])
        elif rest[0] == "log":
            text = f"after {self.get_argument('after')}, {self.get_argument('limit')}"
            line = e.LogLine(number=7, time=1.0, kind="call", version=1, text=text)
            self.answer({"lines": [line]})
        elif rest[0] == "stats":
            bucket = e.Bucket(time=60.0, calls=int(self.get_argument("hours")))
            self.answer(e.Stats(buckets=[bucket], containers=1, outstanding=2))
        else:
            raise Refused(404, "api.unknown", "/".join(parts))

    def detail(self, publisher: str, api: str) -> e.Detail:
        """Return an API as its page has it."""
        kept = self.world.find(publisher, api)
        mine = self.admin or publisher == self.name
        infos = [
            e.VersionInfo(
                version=one.version, saved=one.saved, saved_by=one.saved_by, note=one.note,
                functions=[function.name for function in one.functions], bytes=len(one.source),
            )
            for one in kept.versions
        ]  # fmt: skip
        version = kept.versions[kept.active - 1]
        return e.Detail(
            summary=summary(publisher, api, kept), version=version, versions=infos, mine=mine,
            changes=self.publisher and mine,
        )  # fmt: skip

    def _mine(self, publisher: str) -> None:
        if not (self.admin or (publisher == self.name and self.publisher)):
            raise Refused(
                403, "api.scope", f"{self.name} may not change what {publisher} publishes"
            )

    async def put(self, path: str) -> None:
        """Save a version."""
        _, publisher, api = path.split("/")
        self._mine(publisher)
        given = msgspec.json.decode(self.request.body, type=e.SaveRequest)
        kept = self.world.apis.get((publisher, api)) or Kept([], 0)
        if given.after is not None and len(kept.versions) > given.after:
            raise Refused(409, "api.conflict", f"there is version {len(kept.versions)} by now")
        old = kept.versions[kept.active - 1] if kept.versions else None
        source = given.source if given.source is not None else old.source if old else ""
        names = given.functions or ([one.name for one in old.functions] if old else [])
        version = e.Version(
            publisher=publisher, api=api, version=len(kept.versions) + 1, source=source,
            functions=check(source, names), saved=time.time(), saved_by=self.name, note=given.note,
            options=given.options or (old.options if old else e.Options()),
        )  # fmt: skip
        content = (source, version.functions, version.options)
        if old is not None and (old.source, old.functions, old.options) == content:
            found = self.detail(publisher, api)
            self.answer(msgspec.structs.replace(found, unchanged=True))
            return
        kept.versions.append(version)
        kept.active = version.version
        self.world.apis[publisher, api] = kept
        self.world.note(self.name, "save", publisher, api, version.version)
        self.answer(self.detail(publisher, api), 201 if version.version == 1 else 200)

    async def post(self, path: str) -> None:
        """Change what is there."""
        if path == "check":
            body = json.loads(self.request.body)
            try:
                found = Checked(functions=check(body["source"], body["functions"]))
            except Refused as error:
                fault = error.fault
                found = Checked(code=fault.code, message=fault.message, frames=fault.frames or [])
            self.answer(found)
            return
        _, publisher, api, verb = path.split("/")
        if verb != "stop" or publisher != self.name:
            self._mine(publisher)
        kept = self.world.find(publisher, api)
        if verb == "activate":
            wanted = json.loads(self.request.body)["version"]
            if wanted > len(kept.versions):
                raise Refused(404, "api.unknown", f"there is no version {wanted}")
            kept.active = wanted
        elif verb == "start" and kept.stopped == "admin" and not self.admin:
            raise Refused(403, "api.stopped", "an admin stopped it")
        else:
            stopped = "owner" if publisher == self.name else "admin"
            kept.stopped = stopped if verb == "stop" else ""
        self.world.note(self.name, verb, publisher, api)
        self.answer(None)

    async def delete(self, path: str) -> None:
        """Remove an API."""
        _, publisher, api = path.split("/")
        self._mine(publisher)
        self.world.find(publisher, api)
        del self.world.apis[publisher, api]
        self.world.note(self.name, "remove", publisher, api)
        self.set_status(204)
        self.finish()


class Calls(Base):
    """Calls of functions, and the documents of their APIs."""

    async def get(self, publisher: str, api: str, rest: str) -> None:
        """Answer with what was asked."""
        kept = self.world.find(publisher, api)
        if kept.versions[kept.active - 1].options.access == "token":
            scope = f"custom:juliabox:call!server={publisher}/{api}"
            if self.name != publisher or scope not in self.model["scopes"]:
                raise Refused(403, "api.access", "for tokens of this API alone")
        if rest == "openapi.json":
            self.answer({"openapi": "3.1.0", "info": {"title": f"{publisher}/{api}"}})
            return
        body = self.request.body
        self.world.calls.append(
            (self.token, self.request.method or "", self.request.uri or "", body)
        )
        function = rest.partition("/")[0]
        self.set_header("X-Request-Id", "ab" * 16)
        if function == "fail":
            frames = [e.Frame(function="fail", line=2)]
            fault = e.Fault(code="api.error", message="it failed", frames=frames)
            self.answer(fault, 500)
        elif function == "draw":
            self.set_header("Content-Type", "image/png")
            self.finish(b"\x89PNG" + b"x" * 10)
        elif function == "slow":
            await asyncio.to_thread(self.world.go_on.wait, 60)
            self.answer(None)
        elif function == "much":
            self.finish(b"y" * 1024 * 1024)
        else:
            self.answer({"uri": self.request.uri, "body": body.decode()})

    post = get


@contextmanager
def running(hub_api: str, port: int = 0) -> Iterator[tuple[str, World]]:
    """Serve in a thread; yield the engine's address and its world."""
    world, ready, found = World(hub_api), threading.Event(), [0]
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        sockets = bind_sockets(port, "127.0.0.1")
        found[0] = sockets[0].getsockname()[1]
        application = Application(
            [
                (rf"{PREFIX}_/(.*)", Interface),
                (rf"{PREFIX}([^/]+)/([^/]+)/(.*)", Calls),
            ],
            world=world,
            log_function=lambda _: None,
        )
        HTTPServer(application).add_sockets(sockets)
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(60)
    try:
        yield f"http://127.0.0.1:{found[0]}{PREFIX}", world
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
