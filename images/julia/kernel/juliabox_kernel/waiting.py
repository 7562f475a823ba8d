"""A kernel that waits for somebody: `python -I -m juliabox_kernel.waiting DESCRIPTOR`.

Modules are loaded, Julia is up and has compiled what typical cells need. It holds nothing of
anybody's. One line of JSON on the socket makes it a kernel like any other; when the socket
closes, which it does when the server's process ends or becomes another program, it ends.
"""

import json
import os
import select
import socket
import struct
import sys

from juliabox_kernel.frames import Ask, Told, pack
from juliabox_kernel.launch import FIRST_VICTIM, Launched, expose, launch, program

LENGTH = struct.Struct("<I")

#: What Julia and its libraries read only when they start.
READ_AT_START = ("GOTO", "JULIA_", "LD_", "MALLOC_", "MKL_", "OMP_", "OPENBLAS_")
#: What the driver's `adopt`, or Julia itself, reads later as well.
READ_LATER = ("JULIA_DEBUG", "JULIA_DEPOT_PATH", "JULIA_EDITOR", "JULIA_LOAD_PATH", "JULIA_PKG_")

#: Cells that define nothing; "2" renders the result and keeps no answer.
CELLS = (
    "1 + 1",
    "1.5 * 2",
    '"text"',
    "[1, 2, 3]",
    "[1.5 2.5; 3.5 4.5]",
    "(1, 2.0)",
    'println("x = ", 1, " ", 2.5)',
    "print(1)",
    "for i in 1:2; println(i); end",
    "let f(x) = x^2; f(3); end",
    "sum([1.0, 2.0])",
    "Dict(1 => 2)",
    "sqrt(-1)",
    "undefined_name",
    "1 +",
    "nothing",
)
#: As `adopt` will be asked, with nothing of anybody's; no answer comes to it.
NOBODY = pack(Ask.ADOPT, "/", "HOME", "/", "JULIA_DEPOT_PATH", "/nonexistent", "PATH", "/bin")
EXERCISE = (
    *(pack(Ask.EXECUTE, cell, "0", "2", "0") for cell in CELLS),
    pack(Ask.COMPLETE, "prin", "4"),
    pack(Ask.INSPECT, "sum", "3"),
    pack(Ask.IS_COMPLETE, "for i in 1:3"),
    NOBODY + pack(Ask.EXECUTE, "GC.gc()", "0", "1", "0"),
)

Variables = dict[str, str]


def settings(environment: Variables) -> Variables:
    """Return the variables of an environment that need a fresh Julia when they change."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(READ_AT_START) and not name.startswith(READ_LATER)
    }


def receive(connection: socket.socket, size: int) -> bytes:
    """Read exactly so much; EOFError when the other side has gone."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def read_frame(connection: socket.socket) -> bytes:
    """Read one frame of Julia's."""
    (length,) = LENGTH.unpack(receive(connection, LENGTH.size))
    return receive(connection, length)


def await_frame(julia: Launched, wanted: Told) -> bytes:
    """Throw away what Julia prints and sends, until a frame of this kind; return that."""
    while True:
        ready, _, _ = select.select([julia.socket, julia.stdout, julia.stderr], [], [])
        for descriptor in ready:
            if isinstance(descriptor, int):
                os.read(descriptor, 65536)
            elif (frame := read_frame(julia.socket))[:1] == wanted.value:
                return frame


def silence(julia: Launched) -> None:
    """Throw away what was printed and not yet read."""
    while ready := select.select([julia.stdout, julia.stderr], [], [], 0)[0]:
        for descriptor in ready:
            if not os.read(descriptor, 65536):
                raise EOFError


def exercise(julia: Launched, server: socket.socket) -> None:
    """Let Julia compile what typical cells need, until a person wants the kernel."""
    hello = await_frame(julia, Told.HELLO)
    julia.version = hello[1 + LENGTH.size :].decode()
    for request in EXERCISE:
        if select.select([server], [], [], 0)[0]:
            break
        julia.socket.sendall(request)
        await_frame(julia, Told.FINISHED)
    silence(julia)


def await_person(server: socket.socket) -> tuple[str, str, Variables]:
    """Return connection file, folder and environment. EOFError: nobody will come."""
    line = b""
    while not line.endswith(b"\n"):
        part = server.recv(65536)
        if not part:
            raise EOFError
        line += part
    message = json.loads(line)
    return message["connection_file"], message["folder"], message["environment"]


def main() -> None:
    """Prepare, wait, and be the kernel of whoever comes."""
    server = socket.socket(fileno=int(sys.argv[1]))
    server.set_inheritable(False)
    expose(os.getpid(), FIRST_VICTIM)
    before = settings(dict(os.environ))
    julia = launch(program(), waiting=True)
    from juliabox_kernel.kernel import run  # noqa: PLC0415 - Julia starts first

    try:
        exercise(julia, server)
        file, folder, environment = await_person(server)
    except (EOFError, OSError):
        julia.discard()
        sys.exit(0)
    server.close()
    expose(os.getpid(), "0")
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    given: Launched | None = julia
    if settings(environment) != before:
        julia.discard()
        given = None
    run(given, ["-f", file])


if __name__ == "__main__":
    main()
