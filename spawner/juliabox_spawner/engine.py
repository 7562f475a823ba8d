"""DockerSpawner's calls, translated to verbs of the manager.

The set is closed: what is not listed in :data:`Engine.CALLS` is refused. Answers have Docker's
shape as far as DockerSpawner reads it. The environment of a session is kept from
``create_container`` until ``start`` hands it over, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol

from juliabox_ext.errors import (
    ConflictError,
    JuliaBoxError,
    NotFoundError,
    PolicyError,
    RequestError,
)
from juliabox_manager.protocol import (
    ImageEnsure,
    ImageInfo,
    Limits,
    SessionCreate,
    SessionFind,
    SessionInfo,
    SessionInspect,
    SessionRemove,
    SessionRetire,
    SessionStart,
    SessionStop,
    Verb,
)
from juliabox_spawner.failures import docker_error

log = logging.getLogger(__name__)

#: Seconds that a caller waits for a quick verb, for one that starts or stops a container.
QUICK = 15.0
SLOW = 120.0

#: Keys of create_container and of its host_config that may carry something.
_CREATE_KEYS = {"image", "environment", "name", "ports", "host_config"}
_HOST_KEYS = {"auto_remove", "mem_limit", "cpu_period", "cpu_quota", "network_mode"}


class Manager(Protocol):
    """What the spawner needs of :class:`juliabox_spawner.client.ManagerClient`."""

    async def call(self, verb: Verb, timeout: float = 30.0) -> Any:  # noqa: ASYNC109  # the client retries by it
        """Ask the manager; return its typed answer or raise ``JuliaBoxError``."""


class StandIn:
    """Takes the place of a Docker client; never contacts an engine."""

    base_url = "http://manager.invalid"

    def create_host_config(self, **options: Any) -> dict[str, Any]:
        """Return the options, after refusing what the manager has no word for."""
        _refuse_extra("host_config", options, _HOST_KEYS)
        return options

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the hub has no Docker client, so .client.{name} cannot be used; "
            "sessions are made by the container manager"
        )


def _refuse_extra(where: str, options: dict[str, Any], allowed: set[str]) -> None:
    extra = sorted(key for key, value in options.items() if key not in allowed and value)
    if extra:
        raise docker_error(
            PolicyError(
                f"{where} carries {', '.join(extra)}, which the container manager never accepts"
            )
        )


class Engine:
    """The engine as one spawner sees it: one owner, one server, at most one session."""

    CALLS: ClassVar[frozenset[str]] = frozenset(
        {
            "create_container",
            "start",
            "stop",
            "inspect_container",
            "inspect_image",
            "port",
            "pull",
            "remove_container",
        }
    )

    def __init__(self, manager: Manager, owner: str, server: str) -> None:
        self.manager = manager
        self.owner = owner
        self.server = server
        #: Session id, once known.
        self.session = ""
        #: What the spawner decided; set before ``create_container``.
        self.limits: Limits | None = None
        self.profile = ""
        self.network = ""
        self.stop_grace = 10.0
        #: The newest answer about the session.
        self.info: SessionInfo | None = None
        #: Called with the session's id as soon as it exists, before it is started.
        self.on_created: Callable[[str], None] = lambda session: None
        self._environment: dict[str, str] = {}
        self._changing: asyncio.Future[Any] | None = None

    def call(self, method: str, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Start a call and return its future; needs a running event loop.

        A changing call goes on when whoever waits for it is cancelled: the request is already on
        its way, so :meth:`settle` can wait for what comes of it.
        """
        if method not in self.CALLS:
            return asyncio.ensure_future(self._refuse(method))
        translated = getattr(self, f"_{method}")
        task = asyncio.ensure_future(self._work(lambda: translated(*args, **kwargs)))
        if method in {"create_container", "start"}:
            self._changing = task
            task.add_done_callback(_observe)
            return asyncio.shield(task)
        return task

    @property
    def changing(self) -> bool:
        """Whether a create or start is under way."""
        return self._changing is not None and not self._changing.done()

    async def settle(self, seconds: float) -> None:
        """Wait until no create or start is under way, at most ``seconds``."""
        if self._changing is not None and self.changing:
            await asyncio.wait([self._changing], timeout=seconds)

    async def look(self) -> SessionInfo | None:
        """Return what the manager knows of this session, or None; raise ``JuliaBoxError``."""
        try:
            if self.session:
                verb: Verb = SessionInspect(session=self.session)
            else:
                verb = SessionFind(owner=self.owner, server=self.server)
            self.info = await self.manager.call(verb, timeout=QUICK)
        except NotFoundError:
            self.session, self.info = "", None
            return None
        assert self.info is not None  # noqa: S101  # the protocol: an answer or an error
        self.session = self.info.session
        return self.info

    async def retire(self, grace: float) -> None:
        """Let the session end behind, if there is one; raise ``JuliaBoxError``."""
        if self.session or await self.look() is not None:
            await self.manager.call(SessionRetire(session=self.session, grace=grace), timeout=QUICK)
        self.session, self.info = "", None

    async def _refuse(self, method: str) -> Any:
        raise docker_error(
            PolicyError(
                f"the spawner may not ask for {method!r}: the container manager has verbs for "
                f"{', '.join(sorted(self.CALLS))} alone"
            )
        )

    async def _work(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await call()
        except JuliaBoxError as error:
            raise docker_error(error) from error

    async def _create_container(self, image: str, **options: Any) -> dict[str, Any]:
        host_config = dict(options.get("host_config") or {})
        _refuse_extra("create_container", {"image": image, **options}, _CREATE_KEYS)
        _refuse_extra("host_config", host_config, _HOST_KEYS)
        if self.limits is None:
            raise RequestError("the spawner asked for a container before it knew its limits")
        environment = options.get("environment") or {}
        self._environment = {str(name): str(value) for name, value in environment.items()}
        verb = SessionCreate(
            owner=self.owner,
            server=self.server,
            image=image,
            limits=self.limits,
            profile=self.profile,
        )
        try:
            self.info = await self.manager.call(verb, timeout=SLOW)
        except ConflictError:
            await self._remove_leftover()
            self.info = await self.manager.call(verb, timeout=SLOW)
        assert self.info is not None  # noqa: S101  # the protocol: an answer or an error
        self.session = self.info.session
        self.on_created(self.session)
        return {"Id": self.session, "Warnings": []}

    async def _remove_leftover(self) -> None:
        """Remove the session that a hub which was killed, or a lost answer, left behind."""
        left = await self.look()
        if left is not None:
            log.warning("removing session %s, which should have ended", left.session)
            await self.manager.call(SessionRemove(session=left.session), timeout=SLOW)
            self.session, self.info = "", None

    async def _start(self, container: str) -> None:
        environment, self._environment = self._environment, {}
        self.info = await self.manager.call(
            SessionStart(session=container, environment=environment), timeout=SLOW
        )

    async def _stop(self, container: str, **_: Any) -> None:
        self.info = await self.manager.call(
            SessionStop(session=container, grace=self.stop_grace), timeout=SLOW
        )

    async def _remove_container(self, container: str, **_: Any) -> None:
        await self.manager.call(SessionRemove(session=container), timeout=SLOW)
        self.session, self.info = "", None

    async def _inspect_container(self, container: str) -> dict[str, Any]:
        info = await self.look()
        if info is None:
            raise NotFoundError(f"no session of {self.owner!r}, server {self.server!r}")
        return self._docker_container(info)

    async def _inspect_image(self, image: str) -> dict[str, Any]:
        info: ImageInfo = await self.manager.call(ImageEnsure(image=image), timeout=SLOW)
        return {"Id": info.id, "RepoTags": [info.image], "Config": {"Cmd": []}}

    async def _pull(self, repository: str, tag: str = "", **_: Any) -> str:
        # DockerSpawner adds "latest" to a name without a tag; the allow-list has it without
        image = repository if tag in {"", "latest"} else f"{repository}:{tag}"
        await self.manager.call(ImageEnsure(image=image), timeout=SLOW)
        return ""

    async def _port(self, container: str, port: int) -> list[dict[str, str]]:
        info = await self.look()
        if info is None or not info.address:
            raise NotFoundError(f"session {container} has no address yet")
        return [{"HostIp": info.address, "HostPort": str(info.port)}]

    def _docker_container(self, info: SessionInfo) -> dict[str, Any]:
        exit_info = info.exit
        return {
            "Id": info.session,
            "Name": info.session,
            "State": {
                "Status": info.state,
                "Running": info.state in {"running", "stopping"},
                "ExitCode": exit_info.code if exit_info else 0,
                "OOMKilled": exit_info.oom_killed if exit_info else False,
                "Error": exit_info.reason if exit_info else "",
                "FinishedAt": "",
            },
            "Config": {"Image": info.image, "Env": []},
            "NetworkSettings": {"Networks": {self.network: {"IPAddress": info.address}}},
        }


def _observe(future: asyncio.Future[Any]) -> None:
    """Take note of an error that nobody may be waiting for any more."""
    if not future.cancelled():
        future.exception()


async def accepts(ip: str, port: int) -> bool:
    """Return whether a session's server accepts connections."""
    try:
        async with asyncio.timeout(2.0):
            _, writer = await asyncio.open_connection(ip, port)
    except OSError:
        return False
    writer.close()
    return True
