"""The Jupyter kernel: protocol on one side, a Julia process on the other."""

import asyncio
import os
import signal
import subprocess
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from traitlets import Float, Unicode, default

from juliabox_kernel import __version__
from juliabox_kernel.bundles import bundle, documentation
from juliabox_kernel.frames import Ask, Frame, Told
from juliabox_kernel.history import History
from juliabox_kernel.interrupts import Interrupter
from juliabox_kernel.launch import Launched, launch, program
from juliabox_kernel.output import Output, Pace
from juliabox_kernel.process import JuliaProcess

STATE_LOST = "Julia was started anew: variables, functions and loaded packages are gone."
INPUT_POLL = 0.02  # seconds between looks for the person's answer

Message = dict[str, Any]


def julia_version(program: str) -> str:
    """Return Julia's version without waiting for a session of it; empty when it cannot run."""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip().rpartition(" ")[2]


class JuliaFailure(Exception):
    """An error that Julia reports, or its end, as Jupyter describes errors."""

    def __init__(self, name: str, message: str, text: str) -> None:
        super().__init__(message)
        self.content: Message = {"ename": name, "evalue": message, "traceback": text.split("\n")}


class JuliaKernel(Kernel):
    """Runs cells in a Julia process that it starts, watches, and starts anew when it ends."""

    implementation = "juliabox"
    implementation_version = __version__
    banner = "Julia in JuliaBox"
    help_links = [  # noqa: RUF012 - a trait of the base class
        {"text": "Julia manual", "url": "https://docs.julialang.org/en/v1/"}
    ]

    julia = Unicode(
        help="The program that is started.\n\nFound on PATH unless it is a path.",
    ).tag(config=True)
    output_rate = Float(
        help="Bytes per second of printed text, after a burst of three seconds' worth.\n\n"
        "The default stays under the limit at which Jupyter Server drops output. 0: no limit.",
    ).tag(config=True)

    #: A Julia that was launched before this kernel was made; the first that it uses.
    given: Launched | None = None

    @default("julia")
    def _julia_of_environment(self) -> str:
        return program()

    @default("output_rate")
    def _output_rate_of_environment(self) -> float:
        return float(os.environ.get("JULIABOX_KERNEL_OUTPUT_RATE", "900000"))

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._cell: Message = {}  # parent of all output: the request of the last cell
        self._cell_ident: Any = None
        self._quiet = False
        self._pace = Pace(self.output_rate)
        self._history = History()
        self._process: JuliaProcess | None = None
        self._failure: JuliaFailure | None = None
        self._answer: list[bytes] = []
        self._finished = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self._interrupter = Interrupter(lambda text: self._stream("stderr", text))
        self._version = julia_version(self.julia)
        self.shell_handlers["comm_open"] = self.refuse_comm

    # --- life ---------------------------------------------------------------------------

    @property
    def language_info(self) -> Message:  # type: ignore[override]
        """Say what a notebook needs to know about the language."""
        return {
            "name": "julia",
            "version": self._version,
            "mimetype": "text/x-julia",
            "file_extension": ".jl",
            "codemirror_mode": "julia",
            "pygments_lexer": "julia",
        }

    def start(self) -> None:
        """Start Julia at once, so that it is warm when the first cell comes."""
        super().start()  # type: ignore[no-untyped-call]
        loop: asyncio.AbstractEventLoop = self.io_loop.asyncio_loop  # type: ignore[attr-defined]
        self._loop = loop
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        self._starting = loop.create_task(self._start_julia())

    async def _start_julia(self) -> None:
        process = JuliaProcess(Output(self._stream, self._pace), self._on_frame)
        try:
            await process.start(self._launched())
        except OSError as error:
            process.reason = f"Julia cannot be started: {error}"
            process.ended.set()
            process.ready.set()
        self._process = process
        self._watching = asyncio.create_task(self._watch(process))

    def _launched(self) -> Launched:
        """Return the Julia that was given, once, or a new one where it is not the one wanted."""
        given, type(self).given = type(self).given, None
        if given and given.program == self.julia and given.process.poll() is None:
            return given
        if given:
            given.discard()
        return launch(self.julia)

    async def _watch(self, process: JuliaProcess) -> None:
        """When Julia ends by itself, say why; start it anew unless it never came up."""
        await process.ended.wait()
        if not process.reason:
            return
        came_up = bool(process.version)
        self._interrupter.end()
        self._cancel_question()
        text = f"\x1b[91m{process.reason}\x1b[39m\n{STATE_LOST if came_up else ''}"
        failure = JuliaFailure("JuliaEnded", process.reason, text)
        if came_up:
            await self._start_julia()
        if self._interrupter.running or not self._finished.is_set():
            self._failure = failure
            self._finished.set()
        elif self._cell:
            self._stream("stderr", text + "\n")

    async def _julia(self) -> JuliaProcess:
        """Return a Julia process that is ready; start one when the last did not come up."""
        await self._starting
        if self._process is None or (self._process.ended.is_set() and not self._process.version):
            await self._start_julia()
        process = self._process
        if process is None:
            raise JuliaFailure("JuliaEnded", "Julia was not started.", "Julia was not started.")
        await process.ready.wait()
        if process.ended.is_set() and not process.version:
            raise JuliaFailure("JuliaEnded", process.reason, process.reason)
        return process

    async def do_shutdown(self, restart: bool) -> Message:
        """End Julia and its children. Runs in the control thread."""
        if self._process:
            patience = 0.3 if self._interrupter.running else 2.0
            await asyncio.to_thread(self._process.close, patience)
        return {"status": "ok", "restart": restart}

    # --- talking to Julia ---------------------------------------------------------------

    async def _ask(self, kind: Ask, *fields: str) -> list[bytes]:
        """Send one request and await its end. Raises what Julia reports."""
        process = await self._julia()
        self._failure = None
        self._answer = []
        self._finished.clear()
        self._interrupter.begin(process)
        process.send(kind, *fields)
        try:
            await self._finished.wait()
        finally:
            self._finished.set()
            self._interrupter.end()
            self._cancel_question()
        if self._failure:
            raise self._failure
        return self._answer

    async def _on_frame(self, frame: Frame) -> None:
        match frame.kind:
            case Told.RESULT:
                content = {"execution_count": self.execution_count, "metadata": {}}
                self._publish("execute_result", {**content, "data": bundle(frame.fields)})
            case Told.DISPLAY:
                self._display(frame)
                self._tell_shown()
            case Told.CLEAR:
                self._publish("clear_output", {"wait": frame.text(0) == "1"})
                self._tell_shown()
            case Told.DOCUMENTATION:
                data = documentation(frame.text(1), frame.text(2))
                self._publish("display_data", {"data": data, "metadata": {}, "transient": {}})
            case Told.ERROR:
                self._failure = JuliaFailure(*(frame.text(i) for i in range(3)))
            case Told.INPUT:
                question = self._question(frame.text(0), frame.text(1) == "1")
                self._asking = asyncio.create_task(question)
            case Told.INTERRUPTED:
                self._interrupter.seen()
            case Told.ANSWER:
                self._answer = frame.fields
            case Told.FINISHED:
                self._finished.set()

    # --- what the person sees -----------------------------------------------------------

    def _publish(self, kind: str, content: Message) -> None:
        """Publish on behalf of the last cell, whatever is asked at the moment."""
        if not self._quiet and self.session:
            self.session.send(
                self.iopub_socket, kind, content, parent=self._cell, ident=self._name(kind)
            )

    def _name(self, kind: str) -> bytes:
        """Return the topic under which subscribers find messages of this kind."""
        topic: bytes = self._topic(kind)  # type: ignore[no-untyped-call]
        return topic

    def _stream(self, name: str, text: str) -> None:
        self._publish("stream", {"name": name, "text": text})

    def _display(self, frame: Frame) -> None:
        name = frame.text(0)
        content = {
            "data": bundle(frame.fields[2:]),
            "metadata": {},
            "transient": {"display_id": name} if name else {},
        }
        kind = "update_display_data" if frame.text(1) == "1" else "display_data"
        self._publish(kind, content)

    def _tell_shown(self) -> None:
        if self._process:
            self._process.send(Ask.SHOWN)

    async def _question(self, prompt: str, password: bool) -> None:
        """Ask the person for a line and hand it to Julia."""
        if self.session is None:
            return
        content = {"prompt": prompt, "password": password}
        while self.stdin_socket.poll(0):  # answers to questions that were withdrawn
            self.stdin_socket.recv_multipart()
        self.session.send(
            self.stdin_socket, "input_request", content, self._cell, ident=self._cell_ident
        )
        while True:
            _, reply = self.session.recv(self.stdin_socket, mode=zmq.NOBLOCK)
            if reply is not None:
                break
            await asyncio.sleep(INPUT_POLL)
        value = reply["content"].get("value", "")
        if self._process:
            self._process.send(Ask.INPUT, *(("0",) if value == "\x04" else ("1", value)))

    def _cancel_question(self) -> None:
        if self._asking:
            self._asking.cancel()
            self._asking = None

    # --- requests -----------------------------------------------------------------------

    async def do_execute(  # type: ignore[override]
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, str] | None = None,
        allow_stdin: bool = False,
    ) -> Message:
        """Run a cell."""
        self._cell = self.get_parent("shell")  # type: ignore[no-untyped-call]
        self._cell_ident = self._parent_ident["shell"] if allow_stdin else None
        self._quiet = silent
        count = self.execution_count
        if store_history and not silent:
            self._history.add(count, code)
        elif not silent:
            self.execution_count -= 1
        try:
            await self._ask(Ask.EXECUTE, code, str(count), str(int(silent)), str(int(allow_stdin)))
        except JuliaFailure as failure:
            self._publish("error", failure.content)
            return {"status": "error", "execution_count": count, **failure.content}
        return {
            "status": "ok",
            "execution_count": count,
            "payload": [],
            "user_expressions": await self._expressions(user_expressions or {}),
        }

    async def _expressions(self, expressions: dict[str, str]) -> Message:
        found: Message = {}
        for name, code in expressions.items():
            try:
                data = bundle(await self._ask(Ask.EXPRESSION, code))
                found[name] = {"status": "ok", "data": data, "metadata": {}}
            except JuliaFailure as failure:
                found[name] = {"status": "error", **failure.content}
        return found

    async def do_complete(self, code: str, cursor_pos: int | None) -> Message:
        """Complete the name, path or LaTeX symbol before the cursor."""
        position = len(code) if cursor_pos is None else cursor_pos
        content: Message = {"status": "ok", "matches": [], "metadata": {}}
        content |= {"cursor_start": position, "cursor_end": position}
        data = code.encode()
        try:
            answer = await self._ask(Ask.COMPLETE, code, str(len(code[:position].encode())))
        except JuliaFailure:
            return content
        start, end = (len(data[: int(offset)].decode("utf-8", "ignore")) for offset in answer[:2])
        matches = [text.decode("utf-8", "replace") for text in answer[2:]]
        return content | {"matches": matches, "cursor_start": start, "cursor_end": end}

    async def do_inspect(
        self, code: str, cursor_pos: int | None, detail_level: int = 0, omit_sections: Any = ()
    ) -> Message:
        """Document the name at the cursor, or that of the call around it."""
        position = len(code) if cursor_pos is None else cursor_pos
        try:
            answer = await self._ask(Ask.INSPECT, code, str(len(code[:position].encode())))
        except JuliaFailure:
            answer = []
        data = documentation(*(field.decode() for field in answer)) if answer else {}
        return {"status": "ok", "found": bool(data), "data": data, "metadata": {}}

    async def do_is_complete(self, code: str) -> Message:
        """Say whether a console should run this or wait for more."""
        try:
            status, indent = (field.decode() for field in await self._ask(Ask.IS_COMPLETE, code))
        except (JuliaFailure, ValueError):
            return {"status": "unknown"}
        return (
            {"status": status, "indent": indent} if status == "incomplete" else {"status": status}
        )

    async def do_history(  # type: ignore[override]
        self, hist_access_type: str, output: bool, raw: bool, **options: Any
    ) -> Message:
        """Answer from the memory of this kernel; nothing is kept on disk."""
        return {"status": "ok", "history": self._history.find(hist_access_type, output, **options)}

    async def refuse_comm(self, stream: Any, ident: Any, parent: Message) -> None:
        """Close a comm at once: Julia has no widgets here."""
        content = {"comm_id": parent["content"].get("comm_id", ""), "data": {}}
        if self.session:
            self.session.send(
                self.iopub_socket, "comm_close", content, parent, ident=self._name("comm_close")
            )

    # --- interrupts ---------------------------------------------------------------------

    def pre_handler_hook(self) -> None:
        """Leave SIGINT to this kernel's own handler."""

    def post_handler_hook(self) -> None:
        """Leave SIGINT to this kernel's own handler."""

    async def interrupt_request(self, stream: Any, ident: Any, parent: Message) -> None:
        """Stop the running cell, keep the state. Runs in the control thread."""
        self._loop.call_soon_threadsafe(self._interrupt)
        if self.session:
            self.session.send(stream, "interrupt_reply", {"status": "ok"}, parent, ident=ident)

    def _interrupt(self) -> None:
        self._cancel_question()
        self._interrupter.interrupt()


def run(given: Launched | None, argv: list[str] | None = None) -> None:
    """Run a kernel until it is shut down; `given` is its first Julia."""
    JuliaKernel.given = given
    # read here: when the application's module is imported there may be no server yet
    server = int(os.environ.get("JPY_PARENT_PID") or 0)
    IPKernelApp.launch_instance(
        argv, kernel_class=JuliaKernel, capture_fd_output=False, parent_handle=server
    )
