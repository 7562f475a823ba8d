"""The pages of the extension: ``juliabox/home.tar.gz`` and ``juliabox/packages``."""

import asyncio
import json
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.extension.application import ExtensionApp
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated
from traitlets import Int, Unicode

from juliabox_home.archive import Stopped, write_archive
from juliabox_home.packages import environments

#: `ServerWebApplication.last_activity` takes the newest setting with this ending.
ACTIVITY = "juliabox_download_last_activity"

#: Set while somebody downloads.
BUSY = "juliabox_download"

#: Chunks that wait for a slow client; with their size the memory that a download takes.
CHUNKS = 4


class Home(ExtensionApp):
    """Serves the home of this session's person."""

    name = "juliabox_home"

    folder = Unicode(
        "",
        help="Folder that is served.\n\nBy default that of `$HOME`.",
    ).tag(config=True)
    level = Int(
        3,
        min=0,
        max=9,
        help="How hard an archive is compressed.\n\n"
        "0 to 9; a download takes processor time from the session's own limit.",
    ).tag(config=True)

    def initialize_handlers(self) -> None:
        """Add the pages."""
        options = {"home": Path(self.folder) if self.folder else Path.home(), "level": self.level}
        self.handlers.extend(
            [
                (r"/juliabox/home\.tar\.gz", DownloadHandler, options),
                (r"/juliabox/packages", PackagesHandler, options),
            ]
        )


class _HomeHandler(JupyterHandler):
    auth_resource = "contents"

    def initialize(self, home: Path, level: int) -> None:
        self.home = home
        self.level = level

    def prepare_answer(self, kind: str) -> None:
        """Refuse what another site's page asks for, and set headers."""
        self.check_xsrf_cookie()
        self.set_header("Content-Type", kind)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")


class PackagesHandler(_HomeHandler):
    """The Julia packages of the person's environments, as JSON."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer ``{"environments": [...]}``."""
        self.prepare_answer("application/json")
        found = await asyncio.to_thread(environments, self.home / ".julia" / "environments")
        self.finish(json.dumps({"environments": found}))


class DownloadHandler(_HomeHandler):
    """The home as a compressed archive, made while it is sent."""

    gone = False

    @authenticated
    @authorized
    async def get(self) -> None:
        """Stream the archive; one at a time."""
        self.prepare_answer("application/gzip")
        if self.settings.get(BUSY):
            self.set_header("Retry-After", "10")
            raise HTTPError(
                HTTPStatus.TOO_MANY_REQUESTS, "Your files are just being downloaded; wait for that."
            )
        self.settings[BUSY] = True
        try:
            name = quote(f"{getattr(self.current_user, 'username', 'home')}-home.tar.gz", safe="")
            self.set_header(
                "Content-Disposition",
                f"attachment; filename=\"home.tar.gz\"; filename*=UTF-8''{name}",
            )
            await self._send()
        finally:
            self.settings[BUSY] = False

    def on_connection_close(self) -> None:
        """Stop, as soon as the next chunk is due."""
        self.gone = True
        super().on_connection_close()

    async def _send(self) -> None:
        chunks: asyncio.Queue[bytes] = asyncio.Queue(CHUNKS)
        loop = asyncio.get_running_loop()

        def put(chunk: bytes) -> None:
            if self.gone:
                raise Stopped
            asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()

        making = asyncio.create_task(asyncio.to_thread(write_archive, self.home, put, self.level))
        try:
            await self._forward(chunks, making)
            making.result()
        except (StreamClosedError, Stopped):
            self.gone = True
        except Exception:
            self.log.exception("the home cannot be archived")
            # a broken connection tells the client that its file is not whole
            self.gone = True
            self.request.connection.stream.close()  # type: ignore[union-attr]
        finally:
            await self._stop(chunks, making)

    async def _forward(self, chunks: "asyncio.Queue[bytes]", making: "asyncio.Task[Any]") -> None:
        """Send what the archive's thread makes until it has ended."""
        while not (making.done() and chunks.empty()):
            getting = asyncio.create_task(chunks.get())
            await asyncio.wait({getting, making}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                continue
            if self.gone:
                raise Stopped
            self.write(getting.result())
            await self.flush()
            self.settings[ACTIVITY] = datetime.now(UTC)

    async def _stop(self, chunks: "asyncio.Queue[bytes]", making: "asyncio.Task[Any]") -> None:
        """Let the archive's thread go, which may be waiting with a chunk."""
        self.gone = self.gone or not making.done()
        while not making.done():
            while not chunks.empty():
                chunks.get_nowait()
            await asyncio.wait({making}, timeout=0.05)
        making.exception()
