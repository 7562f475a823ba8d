"""The Docker engine, as the manager sees it: few calls, each bounded in time, none blocking.

Containers are named by session id alone; what lacks this installation's label cannot be named.
Errors are those of ``engine_calls.py``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal

import requests
import structlog
from docker.errors import DockerException
from msgspec import Struct

from juliabox_ext.errors import ConflictError, NotFoundError
from juliabox_manager.engine_calls import ACT, LOOK, EngineCalls
from juliabox_manager.hardening import LABEL_DIGEST, LABEL_INSTALLATION, LABEL_SESSION

log = structlog.get_logger("juliabox.manager.engine")

#: Seconds between two attempts to follow the engine's events.
_RECONNECT: Final = 0.5

_LINES: Final = 20
_LINE_LENGTH: Final = 500


class Container(Struct, frozen=True):
    """A session's container as the engine told it."""

    session: str
    id: str
    running: bool
    #: Digest label: what it was made with.
    digest: str
    #: Of its first process, on the host; 0 unless inspected and running.
    pid: int = 0
    address: str = ""
    #: Unix time; 0 if never started.
    started: float = 0.0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    #: Its limit in bytes; 0 unless inspected.
    memory: int = 0


class Image(Struct, frozen=True):
    """An image that the engine holds, and the Unix time at which it was made."""

    id: str
    created: float


class EngineInfo(Struct, frozen=True):
    """What the engine says of itself and its machine."""

    version: str
    memory: int
    blkio: bool


class Notice(Struct, frozen=True):
    """News from the engine; ``resync`` means that news may have been missed."""

    kind: Literal["die", "oom", "resync"]
    session: str = ""
    #: Docker's id of the container; empty where it is not told.
    container: str = ""


class Engine:
    """Asynchronous door to one Docker engine, for one installation's sessions."""

    def __init__(self, url: str, installation: str, network: str) -> None:
        """Name the engine; nothing is contacted before the first call.

        ``network`` is the Docker network on which a session has its address.
        """
        self._installation = installation
        self._network = network
        self._calls = EngineCalls(url)
        self._closed = threading.Event()
        self._stream: Any = None

    # -- looking ------------------------------------------------------------------------------

    async def info(self) -> EngineInfo:
        """Ask the engine for its version and its machine's memory."""
        told = await self._calls.make(lambda client: client.info(), LOOK)
        warnings = " ".join(told.get("Warnings") or [])
        return EngineInfo(
            version=str(told["ServerVersion"]),
            memory=int(told["MemTotal"]),
            blkio="No blkio weight support" not in warnings,
        )

    async def image_present(self, image_id: str) -> bool:
        """Return whether the engine holds an image of this id."""
        try:
            told = await self._calls.make(lambda client: client.inspect_image(image_id), LOOK)
        except NotFoundError:
            return False
        return bool(told["Id"] == image_id)

    async def images(self, name: str) -> list[Image]:
        """Return the images that the engine holds under a name, whatever their tag, newest first.

        An engine id is a name, too.
        """
        if name.startswith("sha256:"):
            try:
                told = await self._calls.make(lambda client: client.inspect_image(name), LOOK)
            except NotFoundError:
                return []
            return [Image(str(told["Id"]), _unix_time(told["Created"]))]
        listed = await self._calls.make(lambda client: client.images(name=name), LOOK)
        found = [Image(str(one["Id"]), float(one["Created"])) for one in listed]
        return sorted(found, key=lambda image: image.created, reverse=True)

    async def containers(self) -> list[Container]:
        """Return this installation's session containers, without pid, address and exit."""
        wanted = {"label": [f"{LABEL_INSTALLATION}={self._installation}", LABEL_SESSION]}
        told = await self._calls.make(
            lambda client: client.containers(all=True, filters=wanted), LOOK
        )
        return [
            Container(
                session=item["Labels"][LABEL_SESSION],
                id=item["Id"],
                running=item["State"] in {"running", "paused", "restarting"},
                digest=item["Labels"].get(LABEL_DIGEST, ""),
            )
            for item in told
        ]

    async def inspect(self, session: str) -> Container | None:
        """Return a session's container in full, or None if there is none."""
        name = self._name(session)
        try:
            told = await self._calls.make(lambda client: client.inspect_container(name), LOOK)
        except NotFoundError:
            return None
        labels = told["Config"]["Labels"] or {}
        if (labels.get(LABEL_INSTALLATION), labels.get(LABEL_SESSION)) != (
            self._installation,
            session,
        ):
            raise ConflictError(
                f"container {name} was not made by this manager; remove it or rename it",
                code="engine.foreign",
            )
        state = told["State"]
        running = bool(state["Running"])
        return Container(
            session=session,
            id=told["Id"],
            running=running,
            digest=labels.get(LABEL_DIGEST, ""),
            pid=int(state["Pid"]) if running else 0,
            address=self._address(told),
            started=_unix_time(state["StartedAt"]),
            exit_code=int(state["ExitCode"]),
            oom_killed=bool(state["OOMKilled"]),
            error=str(state.get("Error") or ""),
            memory=int(told["HostConfig"].get("Memory") or 0),
        )

    async def last_lines(self, container: Container) -> list[str]:
        """Return the last lines that a container printed, bounded in number and length."""
        printed = await self._calls.make(
            lambda client: client.logs(container.id, stdout=True, stderr=True, tail=_LINES), LOOK
        )
        lines = bytes(printed).decode("utf-8", "replace").splitlines()[-_LINES:]
        return ["".join(c for c in line if c.isprintable())[:_LINE_LENGTH] for line in lines]

    # -- acting -------------------------------------------------------------------------------

    async def create(self, session: str, config: dict[str, Any]) -> str:
        """Make a session's container and return its id; a second call finds the first one's."""
        name = self._name(session)
        try:
            told = await self._calls.make(
                lambda client: client.create_container_from_config(config, name), ACT
            )
        except ConflictError:
            found = await self.inspect(session)
            if found is None:
                raise
            return found.id
        return str(told["Id"])

    async def start(self, session: str) -> None:
        """Start a session's container; harmless if it runs."""
        container = await self._named(session)
        await self._calls.make(lambda client: client.start(container.id), ACT)

    async def update(self, container: str, limits: dict[str, int]) -> None:
        """Set limits of a running container, named by Docker's id."""

        await self._calls.make(lambda client: _update(client, container, limits), ACT)

    async def kill(self, container: Container, signal: str) -> None:
        """Send a signal to a container; harmless if it has ended."""
        try:
            await self._calls.make(lambda client: client.kill(container.id, signal), ACT)
        except (NotFoundError, ConflictError):
            return

    async def remove(self, container: Container) -> None:
        """Kill and remove a container with its anonymous volumes; harmless if it is gone."""
        try:
            await self._calls.make(
                lambda client: client.remove_container(container.id, v=True, force=True), ACT
            )
        except NotFoundError:
            return
        except ConflictError:
            # a removal is under way already: it is done when the container is gone
            for _ in range(100):
                if await self.inspect(container.session) is None:
                    return
                await asyncio.sleep(0.1)
            raise

    # -- watching -----------------------------------------------------------------------------

    def watch(self, noticed: Callable[[Notice], None]) -> None:
        """Follow the engine's events for ever; call ``noticed`` in the present loop.

        After each (re)connection comes a ``resync``.
        """
        loop = asyncio.get_running_loop()

        def tell(notice: Notice) -> None:
            if loop.is_closed():
                self._closed.set()
            elif not self._closed.is_set():
                loop.call_soon_threadsafe(noticed, notice)

        threading.Thread(
            target=self._follow, args=(tell,), name="engine-events", daemon=True
        ).start()

    async def close(self) -> None:
        """Stop watching and let go of the threads; calls under way are abandoned."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            await asyncio.to_thread(_close_quietly, stream)
        self._calls.close()

    def _follow(self, tell: Callable[[Notice], None]) -> None:
        wanted = {
            "type": "container",
            "event": ["die", "oom"],
            "label": [f"{LABEL_INSTALLATION}={self._installation}", LABEL_SESSION],
        }
        while not self._closed.is_set():
            try:
                client = self._calls.new_client()
                client.timeout = None
                self._stream = client.events(filters=wanted, decode=True)
                tell(Notice("resync"))
                for event in self._stream:
                    session = event["Actor"]["Attributes"].get(LABEL_SESSION, "")
                    kind: Literal["die", "oom"] = "oom" if event["Action"] == "oom" else "die"
                    tell(Notice(kind, session, event["Actor"].get("ID", "")))
            except (DockerException, requests.RequestException, OSError, ValueError) as error:
                log.debug("events of the engine broke off", error=str(error))
            except Exception:
                # whatever it is, the manager must not become deaf
                log.exception("events of the engine are not understood")
            self._closed.wait(_RECONNECT)

    # -- naming -------------------------------------------------------------------------------

    def _name(self, session: str) -> str:
        # opaque: names tell no neighbour who is online
        return f"{self._installation}-s-{session}"

    async def _named(self, session: str) -> Container:
        found = await self.inspect(session)
        if found is None:
            raise NotFoundError(
                f"the container of session {session} is gone; create the session again",
                code="not_found.container",
            )
        return found

    def _address(self, told: dict[str, Any]) -> str:
        networks = told["NetworkSettings"]["Networks"] or {}
        return str((networks.get(self._network) or {}).get("IPAddress") or "")


def _update(client: Any, container: str, limits: dict[str, int]) -> None:
    # update_container of the SDK knows no limit of processes
    url = client._url("/containers/{0}/update", container)
    client._raise_for_status(client._post_json(url, data=limits))


def _unix_time(told: str) -> float:
    if told.startswith("0001-"):
        return 0.0
    head, _, fraction = told.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6] or '0':0<6}+00:00").timestamp()


def _close_quietly(stream: Any) -> None:
    try:
        stream.close()
    except Exception as error:
        log.debug("events stream did not close", error=str(error))
