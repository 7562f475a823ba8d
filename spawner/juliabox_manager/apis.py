"""The verbs on API containers: made and started like sessions, under rules of their own.

An API container belongs to one publisher and serves one version of one API; there may be many of
the same. It has no home and no name, and nobody's session can be named by these verbs. Which one
serves what is the business of the API engine; so is replacing one that has ended.
"""

from __future__ import annotations

import secrets
import time

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.containers import Containers
from juliabox_manager.events import EventLog
from juliabox_manager.hardening import Hardening
from juliabox_manager.live import Live, Registry
from juliabox_manager.policy import Policy
from juliabox_manager.pool import Pool
from juliabox_manager.protocol import (
    WORKER_PORT,
    ApiContainer,
    ApiCreate,
    ApiList,
    ApiRetire,
    ApiStart,
)
from juliabox_manager.records import SessionRecord


class Apis:
    """All API containers of one manager."""

    def __init__(  # noqa: PLR0917 one argument for each part
        self,
        registry: Registry,
        containers: Containers,
        policy: Policy,
        hardening: Hardening,
        events: EventLog,
        pool: Pool,
    ) -> None:
        """Work on the API containers of a registry."""
        self._registry = registry
        self._containers = containers
        self._policy = policy
        self._hardening = hardening
        self._events = events
        self._pool = pool

    async def create(self, verb: ApiCreate) -> ApiContainer:
        """Make a container for a version of an API, or take a warm one."""
        return await self._containers.carry_out(self._create_or_tell(verb))

    async def start(self, verb: ApiStart) -> ApiContainer:
        """Start a container, or join its start; answer it running, as soon as its port listens."""
        live = self._registry.named(verb.container, "api")
        await self._containers.start(live, verb.environment)
        return self._info(live)

    async def list(self, _: ApiList) -> list[ApiContainer]:
        """Answer all of them, oldest first; those that have ended until they are retired."""
        return [self._info(live) for live in self._registry.all("api")]

    async def retire(self, verb: ApiRetire) -> None:
        """End a container behind and forget it; nothing if it is unknown."""
        live = self._registry.get(verb.container, "api")
        if live is not None:
            await self._containers.carry_out(self._containers.retire(live, verb.grace))

    async def _create_or_tell(self, verb: ApiCreate) -> ApiContainer:
        try:
            with self._pool.put_off():
                return await self._create(verb)
        except JuliaBoxError as error:
            about = {"owner": verb.publisher, "server": verb.api}
            self._events.emit("api.failed", error.code, error.message, **about)
            raise

    async def _create(self, verb: ApiCreate) -> ApiContainer:
        record = self._new_record(verb)
        self._policy.check_limits(verb.limits, "api")
        self._policy.check_disk()
        self._policy.check_api_room(verb.publisher, verb.limits, self._registry.tallies["api"])
        # nothing is awaited between the check and the count of this one
        return self._info(await self._containers.bring(record))

    def _new_record(self, verb: ApiCreate) -> SessionRecord:
        made_of = self._policy.api
        return SessionRecord(
            session=secrets.token_hex(8),
            kind="api",
            owner=verb.publisher,
            server="",
            api=verb.api,
            version=verb.version,
            image=made_of.image,
            image_id=made_of.image_id,
            profile="",
            limits=verb.limits,
            digest=self._hardening.digest(made_of.image_id, verb.limits, "api"),
            created=time.time(),
        )

    def _info(self, live: Live) -> ApiContainer:
        record = live.record
        return ApiContainer(
            container=record.session,
            publisher=record.owner,
            api=record.api,
            version=record.version,
            state=record.state,
            address=record.address if record.state == "running" else "",
            port=WORKER_PORT,
            warm=record.warm,
            started=record.started,
            exit=record.exit if record.state == "ended" else None,
            stale=self._containers.is_stale(record),
            retired=record.retired,
        )
