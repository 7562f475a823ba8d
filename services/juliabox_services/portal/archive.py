"""Everything that a person owns here, to take away; and the packages of their sessions."""

from __future__ import annotations

import asyncio
import io
import time
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from juliabox_ext.errors import JuliaBoxError
from juliabox_services.portal.api_pages import published
from juliabox_services.portal.handlers import ApiHandler, Handler
from juliabox_services.portal.models import (
    Archive,
    ArchiveItem,
    Package,
    Packages,
    PackageSet,
    SessionView,
)
from juliabox_services.portal.person_pages import tokens, views, volume_view

#: Path of the home's archive and of the list of packages below a server's address.
HOME_ARCHIVE = "juliabox/home.tar.gz"
PACKAGES = "juliabox/packages"

#: Years of use that the archive tells of, and sessions at most.
YEARS = 10
SESSIONS = 100_000

README = """\
What JuliaBox holds of this account, written {when}.

account.json   the hub's record: name, groups, servers, times
tokens.json    tokens, without their secrets
volumes.json   disks
usage.json     sessions: when they ran, and with which image
apis.json      published APIs: the version that answers, with its source

The files of the home are an archive of their own: start a session, then download it.
"""


async def files(handler: Handler, _: str = "") -> Archive:
    """Return what the caller can download."""
    sessions, volumes, seen = await views(handler)
    running = next((one for one in sessions if one.state == "running"), None)
    prefix = handler.portal.prefix
    home = ArchiveItem(
        label="Home",
        description="All files of your home, as a compressed archive (.tar.gz)",
        url=f"{running.url}{HOME_ARCHIVE}" if running else "",
        unavailable="" if running else "Start a session first: it reads your home.",
    )
    account = ArchiveItem(
        label="Account",
        description="What is kept of you: account, tokens, disks, use, APIs, as JSON files (.zip)",
        url=f"{prefix}api/archive/account.zip",
    )
    shown = [volume_view(one, seen) for one in volumes if one.state != "removed"]
    return Archive(items=[home, account], volumes=shown)


async def account(handler: Handler) -> dict[str, Any]:
    """Return all that is kept of the caller; a part that cannot be had says why."""
    record, listed, seen, used = await asyncio.gather(
        handler.parts.servers.record(handler.name, handler.token),
        tokens(handler),
        views(handler),
        _use(handler),
    )
    found = {
        "account": {**record, "auth_state": None},
        "tokens": listed.tokens,
        "volumes": [volume_view(one, seen[2]) for one in seen[1]],
        "usage": used,
    }
    if handler.parts.engine.available:
        found["apis"] = await published(handler)
    return found


async def _use(handler: Handler) -> Any:
    end = datetime.now(UTC)
    start = end - timedelta(days=366 * YEARS)

    def read(records: Any) -> list[dict[str, Any]]:
        found = records.usage().get_sessions(start, end, owner=handler.name)
        rows: list[dict[str, Any]] = []
        for one in found:
            if len(rows) >= SESSIONS:
                break
            rows.append(
                {"session": one.session, "image": one.image, "start": one.start, "end": one.end}
            )
        return rows

    try:
        return await handler.parts.keeper.run(read)
    except JuliaBoxError as error:
        return {"code": error.code, "message": error.message}


class AccountJson(ApiHandler):
    """The caller's account as JSON."""

    async def get(self) -> None:
        """Answer it."""
        self.answer(await account(self))


class AccountZip(ApiHandler):
    """The caller's account as an archive of JSON files."""

    async def get(self) -> None:
        """Answer it as a download."""
        parts = await account(self)
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(None, _zipped, parts)
        self.set_header("Content-Type", "application/zip")
        self.set_header("Content-Disposition", 'attachment; filename="juliabox-account.zip"')
        self.finish(content)


def _zipped(parts: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        archive.writestr("README.txt", README.format(when=when))
        for name, part in parts.items():
            encoded = msgspec.json.format(msgspec.json.encode(part), indent=2)
            archive.writestr(f"{name}.json", encoded)
    return content.getvalue()


async def packages(handler: Handler, _: str = "") -> Packages:
    """Return the packages of the images that the caller's sessions run."""
    sessions = (await views(handler))[0]
    running = [one for one in sessions if one.state == "running"]
    if not running:
        missing = "No session runs: start one, and its packages are listed here."
        return Packages(images=[PackageSet(image="", missing=missing)])
    found = await asyncio.gather(*(_packages(handler, one) for one in running))
    return Packages(images=[one for several in found for one in several])


async def _packages(handler: Handler, server: SessionView) -> list[PackageSet]:
    """Return the environments of a running server; one that says why if they are not known."""
    profiles = [server.profile_label] if server.profile_label else []
    named = server.image or server.label
    try:
        # by one question at a time for each session: one that hangs must not take all places
        under_way = handler.parts.session_client.under_way
        answer = await under_way.get((handler.name, server.server), lambda: _ask(handler, server))
        told = msgspec.convert(answer, _Answer)
    except JuliaBoxError as error:
        return [PackageSet(image=named, profiles=profiles, missing=error.message)]
    except msgspec.ValidationError:
        missing = "the session's answer is not understood"
        return [PackageSet(image=named, profiles=profiles, missing=missing)]
    if not told.environments:
        missing = "No environment of Julia was made yet: add a package, and it is listed here."
        return [PackageSet(image=named, profiles=profiles, missing=missing)]
    return [
        PackageSet(
            image=f"{named}, environment {one.name}",
            profiles=profiles,
            packages=[
                Package(
                    name=package.name,
                    version=package.version or "",
                    language="julia",
                    summary=_summary(package),
                )
                for package in one.packages
            ],
            missing=one.error or "",
        )
        for one in told.environments
    ]


async def _ask(handler: Handler, server: SessionView) -> Any:
    servers, client = handler.parts.servers, handler.parts.session_client
    async with servers.visit(handler.name, server.server, handler.token) as token:
        return await client.get(server.url, PACKAGES, token)


class _Package(msgspec.Struct):
    """A package of an environment, as a session tells it."""

    name: str
    version: str | None = None
    direct: bool = False


class _Environment(msgspec.Struct):
    name: str
    packages: list[_Package]
    error: str | None = None


class _Answer(msgspec.Struct):
    """What a session tells of its packages."""

    environments: list[_Environment]


def _summary(package: _Package) -> str:
    if package.version is None:
        return "Part of Julia"
    return "Added by you" if package.direct else "Needed by another package"


class PackagesHandler(ApiHandler):
    """The packages of one server of the caller."""

    async def get(self, server: str = "") -> None:
        """Answer them."""
        for one in (await views(self))[0]:
            if one.server == server and one.state == "running":
                self.answer(Packages(images=await _packages(self, one)))
                return
        missing = "This server does not run: start it, and its packages are listed here."
        self.answer(Packages(images=[PackageSet(image="", missing=missing)]))
