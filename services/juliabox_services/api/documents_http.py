"""What is read of an API besides its answers: its description, its document, results for later."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from juliabox_ext.errors import NotFoundError
from juliabox_services.api import access, answers
from juliabox_services.api.arguments import text
from juliabox_services.api.async_results import Result
from juliabox_services.api.base import NO_ROOM, MethodRefused, crowded
from juliabox_services.api.bodies import UnreadHandler
from juliabox_services.api.calls_http import give
from juliabox_services.api.models import Version
from juliabox_services.api.settings import INTERFACE
from juliabox_services.portal.settings import SERVICE as PORTAL
from juliabox_services.portal.settings import portal_host

_READ = ("GET", "HEAD", "OPTIONS")


class _Reading(UnreadHandler):
    """A document that is only read, by whom may call."""

    allowed: tuple[str, ...] = _READ
    #: Origins whose pages may read the answer.
    origins: Sequence[str] = ()

    async def admit(self) -> None:
        """Refuse what is no reading."""
        if self.request.method not in self.allowed:
            raise MethodRefused(str(self.request.method), self.allowed)

    def options(self, *_: str) -> None:
        """Say which methods there are, and to whom a browser may let a page send them."""
        if answers.admit_origin(self._headers, self.request.headers, self.origins):
            answers.admit_methods(self._headers, self.allowed)
        self.set_header("Allow", ", ".join(self.allowed))
        self.set_status(204)
        self.finish()

    def fault(self, error: BaseException | None, status: int) -> bytes:
        """Let pages of listed origins read errors, too."""
        answers.admit_origin(self._headers, self.request.headers, self.origins)
        return super().fault(error, status)


class _OfApi(_Reading):
    """A document of one API."""

    version: Version

    async def admit(self) -> None:
        """Find the API; refuse who may not call it."""
        await super().admit()
        if self.elsewhere:
            return
        publisher, api = self.names()
        known, self.version = self.front.published.find(publisher, api)
        self.holder = publisher
        self.origins = self.version.options.origins
        if self.request.method == "OPTIONS":
            return
        if self.version.options.access != "public":
            await self.identify(known)
        access.check(self.version, self.identity, known.account)
        answers.admit_origin(self._headers, self.request.headers, self.origins)
        rate = self.version.options.rate or self.front.settings.bounds.rate
        self.front.rates.spend((publisher, api, self.caller.counted), rate)

    def names(self) -> tuple[str, str]:
        """Return the publisher and the API of the address."""
        rest = self.request.path.removeprefix(self.front.settings.prefix).split("/")
        return text(rest[0]), text(rest[1])

    @property
    def elsewhere(self) -> str:
        """Address where a caller is served better, if there is one."""
        return ""


class DocumentHandler(_OfApi):
    """The OpenAPI document."""

    async def get(self) -> None:
        """Answer it."""
        content = self.front.documents.of(self.version, self.front.settings.prefix)
        self.set_header("Content-Type", answers.JSON)
        if not self.claim(len(content)):
            raise crowded(NO_ROOM)
        await self.finish_large(content)

    head = get


class RootHandler(_Reading):
    """The address that all APIs live below."""

    async def get(self) -> None:
        """Lead browsers to the portal's page of APIs; tell programs where the interface is."""
        settings = self.front.settings
        if "text/html" in self.request.headers.get("Accept", "").lower():
            host = portal_host(settings.hub_host)
            self.redirect(f"{host}{settings.base_url}services/{PORTAL}/apis")
            return
        self.send({"interface": f"{settings.prefix}{INTERFACE}/"})

    head = get


class DescriptionHandler(_OfApi):
    """The address that all calls of an API begin with."""

    @property
    def elsewhere(self) -> str:
        """The portal's page of the API, for browsers."""
        kinds = self.request.headers.get("Accept", "").lower()
        if self.request.method not in {"GET", "HEAD"} or "text/html" not in kinds:
            return ""
        settings = self.front.settings
        page = "/".join(quote(name, safe="") for name in self.names())
        host = portal_host(settings.hub_host)
        return f"{host}{settings.base_url}services/{PORTAL}/apis/{page}"

    async def get(self) -> None:
        """Answer what there is."""
        if where := self.elsewhere:
            self.redirect(where)
            return
        version, options = self.version, self.version.options
        publisher = quote(version.publisher, safe="")
        root = f"{self.front.settings.prefix}{publisher}/{version.api}/"
        self.send(
            {
                "publisher": version.publisher,
                "api": version.api,
                "version": version.version,
                "description": options.description,
                "access": options.access,
                "functions": [one.name for one in version.functions],
                "url": root,
                "openapi": f"{root}openapi.json",
            }
        )

    head = get


class ResultHandler(_Reading):
    """The result of a call that its caller did not wait for."""

    allowed = ("GET", "HEAD", "DELETE", "OPTIONS")
    result: Result

    async def admit(self) -> None:
        """Find it; to who did not make the call it is not there."""
        await super().admit()
        request = self.request.path.rpartition("/")[2]
        self.result = self.front.results.find(request)
        self.origins, self.holder = self.result.origins, self.result.holder
        if self.request.method == "OPTIONS":
            return
        if self.result.owner:
            await self.identify()
            self.result = self.front.results.find(request)  # it may have been given up meanwhile
        answers.admit_origin(self._headers, self.request.headers, self.origins)
        if self.result.owner not in {"", self.caller.counted}:
            raise NotFoundError(f"There is no result {request} of yours", code="api.no_result")

    async def get(self, request: str) -> None:
        """Answer as the call would have been answered; 202 while it goes on."""
        ended = self.result.outcome
        if ended is not None:
            if not self.claim(len(ended.body)):
                raise crowded(NO_ROOM)
            await give(self, ended)
            return
        self.set_header("Retry-After", "1")
        where = self.request.path
        self.set_header("Location", where)
        self.send({"request": request, "result": where}, 202)

    head = get

    async def delete(self, request: str) -> None:
        """Give it up; of those who were let in at once the first one does."""
        self.front.results.find(request)
        self.front.results.forget(request)
        self.set_status(204)
        self.finish()
