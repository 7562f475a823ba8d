"""The floor: tornado hands each request to another process by ZMQ, which sends it back.

It checks nothing, knows nobody, computes nothing and logs nothing: what it takes is what any engine
of this kind takes at least.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import sys

import zmq
import zmq.asyncio
from tornado.web import Application, RequestHandler

ADDRESS = "tcp://127.0.0.1:5599"


def echo() -> None:
    """Send back what comes."""
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(ADDRESS)
    while True:
        socket.send_multipart(socket.recv_multipart())


class Worker:
    """The other process, asked by many at once."""

    def __init__(self) -> None:
        self._socket = zmq.asyncio.Context().socket(zmq.DEALER)
        self._socket.connect(ADDRESS)
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._numbers = itertools.count()

    async def read(self) -> None:
        """Hand each answer to whom it belongs to."""
        while True:
            number, text = await self._socket.recv_multipart()
            self._waiting.pop(number).set_result(text)

    async def ask(self, text: bytes) -> bytes:
        """Send a text and return what comes back."""
        number = str(next(self._numbers)).encode()
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        await self._socket.send_multipart([number, text])
        return await future


class Echo(RequestHandler):
    """Answers with the last part of the path, by way of the other process."""

    async def get(self, text: str) -> None:
        """Answer."""
        self.finish(await self.application.settings["worker"].ask(text.encode()))


async def serve(port: int) -> None:
    """Serve until killed."""
    worker = Worker()
    routes = [(r".*/([^/]*)", Echo)]
    application = Application(routes, worker=worker, log_function=lambda _: None)
    application.listen(port)
    await worker.read()


if __name__ == "__main__":
    multiprocessing.Process(target=echo, daemon=True).start()
    asyncio.run(serve(int(sys.argv[1])))
