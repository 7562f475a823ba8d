"""Kernels for the checks that run inside a container of the session image."""

import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

PATIENCE = 60


@dataclass
class Outcome:
    """What one cell gave."""

    reply: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0

    @property
    def status(self) -> str:
        return self.reply["content"]["status"]

    @property
    def stdout(self) -> str:
        return self._text("stdout")

    @property
    def stderr(self) -> str:
        return self._text("stderr")

    def _text(self, name: str) -> str:
        streams = (m["content"] for m in self.of("stream"))
        return "".join(s["text"] for s in streams if s["name"] == name)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["msg_type"] == kind]

    @property
    def result(self) -> dict[str, Any] | None:
        found = self.of("execute_result")
        return found[0]["content"]["data"] if found else None

    @property
    def error(self) -> str:
        return "\n".join(self.reply["content"].get("traceback", []))


class Notebook:
    """A kernel as a front end sees it."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="julia")
        # a machine that is busy takes its time; who does not end by itself is killed after half
        self.manager.shutdown_wait_time = PATIENCE
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.sent: dict[str, float] = {}

    def send(self, code: str, **options: Any) -> str:
        options.setdefault("allow_stdin", False)
        begun = time.monotonic()  # the cell may run before this program does again
        request = self.client.execute(code, **options)
        self.sent[request] = begun
        return request

    def until_idle(
        self, request: str, on_message: Callable[[dict[str, Any]], None] | None = None
    ) -> Outcome:
        outcome = Outcome()
        start = time.monotonic()
        while time.monotonic() < start + PATIENCE:
            try:
                message = self.client.get_iopub_msg(timeout=PATIENCE)
            except queue.Empty:
                break
            if message["parent_header"].get("msg_id") != request:
                continue
            outcome.messages.append(message)
            if on_message:
                on_message(message)
            if message["content"].get("execution_state") == "idle":
                outcome.reply = self._reply(request)
                outcome.seconds = time.monotonic() - self.sent.get(request, start)
                return outcome
        raise AssertionError(f"no end of the cell within {PATIENCE} s: {outcome.messages[-5:]}")

    def _reply(self, request: str) -> dict[str, Any]:
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == request:
                return reply

    def run(self, code: str, **options: Any) -> Outcome:
        return self.until_idle(self.send(code, **options))

    def ask(self, request: str) -> dict[str, Any]:
        return self._reply(request)["content"]

    def late(self, request: str, wanted: str) -> str:
        """Text that comes for a cell after its end, as soon as the wanted one is in it."""
        text = ""
        end = time.monotonic() + PATIENCE
        while wanted not in text and (left := end - time.monotonic()) > 0:
            try:
                message = self.client.get_iopub_msg(timeout=left)
            except queue.Empty:
                break
            if (
                message["msg_type"] == "stream"
                and message["parent_header"].get("msg_id") == request
            ):
                text += message["content"]["text"]
        return text

    def julia(self) -> int:
        return int(self.run("print(getpid())").stdout)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=not self.manager.is_alive())


@pytest.fixture(scope="session")
def kernel() -> Iterator[Notebook]:
    notebook = Notebook()
    yield notebook
    notebook.close()


@pytest.fixture
def fresh() -> Iterator[Notebook]:
    notebook = Notebook()
    yield notebook
    notebook.close()
