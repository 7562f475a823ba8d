"""First program of a session's container, after tini and ``juliabox_output.py``.

It waits until the manager releases the session: it connects to the manager's socket in the slot
(``/home/entry.sock``), reads one line ``{"version": 2, "environment": {...}}``, and becomes the
single-user server. While it waits it loads the server's modules, which is where most of a start
goes. Until then nothing of anybody's is here: no token, no home.

It tells how far it is by lines ``{"version": 2, "state": …}``: ``loaded`` when the modules are in
memory, ``accepted`` when it has the environment, ``listening`` when the server's port accepts
connections, after which it closes the connection.

The environment comes through the socket, so it is in no ``docker inspect`` and in no argument
list. Programs of the same person (uid 1000) can read it, as they can read all of this process:
that is what they already are. So nothing is hidden from them with ``PR_SET_DUMPABLE``.

Only the standard library is imported at the top; this file lies in a folder that is root's, and
nothing is ever imported from the home.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

SLOT = Path("/home")
HOME = SLOT / "juser"
SOCKET = SLOT / "entry.sock"
#: tmpfs; state that must be writable even if the home is full.
RUN = Path("/run/juliabox")
#: Copied into a new home, once.
NOTEBOOKS = Path("/opt/juliabox/notebooks")

PORT = 8888
HANDOVER_VERSION = 2

#: Seconds between two attempts to reach the manager, which may be restarting.
RETRY = 0.05
#: Longest line from the manager: 256 variables of 32 KiB, each character escaped.
MAX_LINE = 64 * 1024**2

#: Seconds within which a server with the person's own configuration must listen, not counting
#: those in which the machine was too busy to run it.
START_LIMIT = 30.0

#: Argument of a second start in the same container, with the environment already in place.
RELEASED = "--released"
PLAIN = "JUPYTERHUB_DISABLE_USER_CONFIG"

#: Read by the server's modules when they are imported: another value needs another process.
READ_AT_IMPORT = ("JUPYTERHUB_SINGLEUSER_APP", "JUPYTERHUB_SINGLEUSER_EXTENSION", "JUPYTERLAB_DIR")

#: Modules that every start of the server loads, beside its handlers and the image's extensions.
SERVER_MODULES = (
    "jupyter_server.serverapp",
    "jupyterlab.labapp",
    "jupyterhub.singleuser",
    "httpcore",
    "jinja2.ext",
    "tornado.platform.asyncio",
)


def main() -> None:
    """Wait for the manager and run the server; never returns."""
    os.environ["HOME"] = str(HOME)
    if sys.argv[1:] != [RELEASED]:
        os.closerange(3, 1024)
        imported = {name: os.environ.get(name) for name in READ_AT_IMPORT}
        line = wait_and_load()
        os.environ.update(line.environment)
        settle_in()
        if any(os.environ.get(name) != value for name, value in imported.items()):
            start_again()
        tell_when_listening(line)
    os.chdir(HOME if HOME.is_dir() else "/")
    serve()


def say(message: str) -> None:
    """Tell the container's log, which the person and the operator see when a start fails."""
    print(f"juliabox: {message}", file=sys.stderr, flush=True)


# --- waiting for the manager ---------------------------------------------------------------------


class Line:
    """The connection to the manager; made again until the environment has come through it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._is_loaded = False
        self.environment: dict[str, str] = {}

    def await_release(self) -> None:
        """Connect to the manager until it hands over an environment, and take it."""
        while True:
            connection = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(OSError):
                connection.connect(str(SOCKET))
                with self._lock:
                    self._connection = connection
                    if self._is_loaded:
                        send(connection, "loaded")
                environment = read_environment(connection)
                if environment is not None:
                    send(connection, "accepted")
                    self.environment = environment
                    return
            with self._lock:
                self._connection = None
            connection.close()
            time.sleep(RETRY)

    def loaded(self) -> None:
        """Tell the manager, now or when it is back, that the modules are in memory."""
        with self._lock, contextlib.suppress(OSError):
            self._is_loaded = True
            if self._connection is not None:
                send(self._connection, "loaded")

    def listening(self) -> None:
        """Tell the manager that the server's port accepts connections, and close."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                send(self._connection, "listening")
            self._connection.close()


def send(connection: socket.socket, state: str) -> None:
    """Send one line to the manager."""
    line = json.dumps({"version": HANDOVER_VERSION, "state": state})
    connection.sendall(line.encode() + b"\n")


def wait_and_load() -> Line:
    """Load the server's modules while the manager is awaited; return when it has released us."""
    line = Line()
    waiter = threading.Thread(target=line.await_release, daemon=True)
    waiter.start()
    load_server()
    line.loaded()
    waiter.join()
    return line


def read_environment(connection: socket.socket) -> dict[str, str] | None:
    """Read one line of the manager; None if it breaks off or is not understood."""
    line = bytearray()
    while not line.endswith(b"\n"):
        part = connection.recv(65536)
        if not part or len(line) > MAX_LINE:
            return None
        line += part
    try:
        message = json.loads(line)
        environment = message["environment"]
        known = message["version"] == HANDOVER_VERSION and all(
            isinstance(text, str) for item in environment.items() for text in item
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        say("the manager sent a message that this image does not understand")
        return None
    return dict(environment)


def load_server() -> None:
    """Import what the server will need; what is missing or broken shows when it starts."""
    for name in (*SERVER_MODULES, *extension_modules()):
        load(name)
    server = sys.modules.get("jupyter_server.serverapp")
    handlers: dict[str, list[str] | None] = getattr(server, "JUPYTER_SERVICE_HANDLERS", {})
    for names in handlers.values():
        for name in names or ():
            load(name)


def load(name: str) -> None:
    """Import a module; a broken one must not stop the start here."""
    try:
        importlib.import_module(name)
    except Exception as error:
        say(f"{name} cannot be loaded: {error!r}")


def extension_modules() -> list[str]:
    """Return the server extensions that the image (not the person) enables."""
    names: dict[str, bool] = {}
    folders = [f"{sys.prefix}/etc/jupyter", *os.environ.get("JUPYTER_CONFIG_PATH", "").split(":")]
    for folder in filter(None, folders):
        for file in sorted(Path(folder, "jupyter_server_config.d").glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                names.update(json.loads(file.read_text())["ServerApp"]["jpserver_extensions"])
    return [name for name, enabled in names.items() if enabled]


# --- the person's home ---------------------------------------------------------------------------


def settle_in() -> None:
    """Prepare folders and the environment; a full or broken home is reported and stops nothing."""
    os.environ["HOME"] = str(HOME)
    runtime = RUN / "jupyter"
    try:
        runtime.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        say(f"{runtime} cannot be made: {error}")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(runtime)
    os.environ["XDG_RUNTIME_DIR"] = str(RUN)
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")
    os.environ.setdefault("JUPYTERHUB_SERVICE_URL", f"http://0.0.0.0:{PORT}{prefix}")
    try:
        furnish()
    except OSError as error:
        say(f"the home cannot be prepared: {error}; free some space in it")
    if not has_room():
        live_outside()


def has_room() -> bool:
    """Tell whether a small file can be written in the home."""
    probe = HOME / f".juliabox-{os.getpid()}"
    try:
        with probe.open("xb") as file:
            file.write(bytes(4096))
            file.flush()
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return True


def live_outside() -> None:
    """Let the server keep its own files on the tmpfs: extensions fail to load without any."""
    say("the home is full; free some space in it, then restart the server")
    os.environ["JUPYTER_DATA_DIR"] = str(RUN / "data")
    os.environ["IPYTHONDIR"] = str(RUN / "ipython")
    kernels = [os.environ.get("JUPYTER_PATH", ""), str(HOME / ".local/share/jupyter")]
    os.environ["JUPYTER_PATH"] = ":".join(filter(None, kernels))
    if not (HOME / ".jupyter").is_dir():
        os.environ["JUPYTER_CONFIG_DIR"] = str(RUN / "config")


def furnish() -> None:
    """Give a new home the welcome notebooks; a home with ``.jupyter`` is not new."""
    mark = HOME / ".jupyter"
    if mark.exists():
        return
    for source in sorted(NOTEBOOKS.rglob("*")):
        place = HOME / source.relative_to(NOTEBOOKS)
        if source.is_dir():
            place.mkdir(exist_ok=True)
        else:
            copy_new(source, place)
    mark.mkdir(mode=0o700)


def copy_new(source: Path, place: Path) -> None:
    """Copy a file, whole or not at all, never over another."""
    with contextlib.suppress(FileExistsError), source.open("rb") as old, place.open("xb") as new:
        try:
            shutil.copyfileobj(old, new)
            new.flush()
        except OSError:
            place.unlink()
            raise


def has_own_configuration() -> bool:
    """Tell whether the person has configuration that may keep the server from starting."""
    folders = (HOME / ".jupyter", HOME / ".local/etc/jupyter", HOME / ".local/share/jupyter")
    try:
        return any(
            next(folder.glob(pattern), None) is not None
            for folder in folders
            for pattern in ("*config*.py", "*config*.json", "*config.d/*")
        )
    except OSError:
        return True


# --- the server ----------------------------------------------------------------------------------


def serve() -> None:
    """Run the server; if it ends or hangs before it listens, start once without own configuration.

    What the person configured can so never lock them out for good.
    """
    plain = bool(os.environ.get(PLAIN))
    if not plain and has_own_configuration():
        watch(lambda: start_plain(f"it did not listen after {START_LIMIT:g} s"))
    # the server parses these itself and must not see ours
    sys.argv[:] = ["jupyterhub-singleuser"]
    try:
        importlib.import_module("jupyterhub.singleuser").main()
    except BaseException as error:
        if plain or isinstance(error, KeyboardInterrupt) or listening(PORT):
            raise
        start_plain(repr(error))
    sys.exit(0)


def watch(late: Callable[[], None]) -> None:
    """Call ``late`` from a thread if the server does not listen in time."""

    def wait() -> None:
        begin = time.monotonic() - starved()
        while time.monotonic() - starved() < begin + START_LIMIT:
            if listening(PORT):
                return
            time.sleep(0.5)
        late()

    threading.Thread(target=wait, daemon=True).start()


def tell_when_listening(line: Line) -> None:
    """Tell the manager from a thread as soon as the server listens."""

    def look() -> None:
        while not listening(PORT):
            time.sleep(0.01)
        line.listening()

    threading.Thread(target=look, daemon=True).start()


def starved() -> float:
    """Return the seconds that the main thread was ready to run and had to wait for a processor."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def listening(port: int) -> bool:
    """Tell whether a TCP socket of this container listens on a port, without connecting to it."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, local, _, state = line.split()[:4]
                if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False


def start_plain(why: str) -> None:
    """Start anew without the person's own configuration."""
    say(f"the server did not start ({why}); starting it without the configuration in ~/.jupyter")
    os.environ[PLAIN] = "1"
    start_again()


def start_again() -> None:
    """Become a fresh process of this program, with the same environment."""
    os.chdir("/")
    os.execv(sys.executable, [sys.executable, "-I", str(Path(__file__).resolve()), RELEASED])  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    main()
