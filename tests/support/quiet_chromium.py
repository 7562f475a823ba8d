"""Chromium in a network of its own, which knows nothing of the machine's.

Chromium drops every request that is under way when an interface of the host appears or goes, as
with each container. Nobody's laptop does that when somebody else logs in, but here browser and
service share a machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Playwright

from support.browsing import CHROMIUM, CHROMIUM_FLAGS
from support.namespaces import Namespace

CHUNK = 256 * 1024


@contextmanager
def quiet_chromium(url: str, driver: Playwright) -> Iterator[Browser]:
    """Start Chromium where the service's address on loopback leads to the service."""
    address = (urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 80)
    namespace = Namespace("jbt-browser")
    try:
        # its address of IPv6 would come a second later, and be such a change
        quiet = "/proc/sys/net/ipv6/conf/all/disable_ipv6"
        namespace.run("sh", "-c", f"test ! -e {quiet} || echo 1 > {quiet}")
        # with loopback alone it would take itself to be off line
        namespace.run("ip", "link", "add", "net0", "type", "veth", "peer", "name", "net1")
        namespace.run("ip", "address", "add", "192.0.2.2/24", "dev", "net0")
        namespace.run("ip", "link", "set", "net0", "up")
        namespace.run("ip", "link", "set", "net1", "up")
        namespace.run("ip", "route", "add", "default", "via", "192.0.2.1")
        door = namespace.inside(lambda: socket.create_server(address, backlog=64))
        with _relayed(door, address), _launcher(namespace) as program:
            browser = driver.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
            yield browser
            browser.close()
    finally:
        namespace.close()


@contextmanager
def _launcher(namespace: Namespace) -> Iterator[Path]:
    """Make a program that becomes Chromium within a namespace."""
    with TemporaryDirectory(prefix="jbt-browser-") as folder:
        program = Path(folder, "chromium")
        program.write_text(
            f'#!/bin/sh\nexec nsenter --net=/proc/{namespace.pid}/ns/net {CHROMIUM} "$@"\n'
        )
        program.chmod(0o700)
        yield program


@contextmanager
def _relayed(door: socket.socket, address: tuple[str, int]) -> Iterator[None]:
    """Lead connections from a socket of the namespace to the service, from a thread."""
    loop = asyncio.new_event_loop()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*address)
        except OSError:  # a service that is being replaced
            writer.close()
            return
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    def run() -> None:
        server = loop.run_until_complete(asyncio.start_server(lead, sock=door, limit=CHUNK))
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
