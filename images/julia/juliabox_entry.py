"""First program of a session's container, after tini and ``juliabox_output.py``.

It waits until the manager releases the session: it connects to the manager's socket in the slot
(``/home/entry.sock``), reads one line ``{"version": 2, "environment": {...}}``, and becomes the
single-user server. While it waits it loads the server's modules and rehearses the server's start
(see the package ``juliabox_server``), which is where most of a start goes. Until then nothing of
anybody's is here: no token, no home.

It tells how far it is by lines ``{"version": 2, "state": …}``: ``loaded`` when it is prepared,
``accepted`` when it has the environment, ``listening`` when the server's port accepts
connections, after which it closes the connection.

The environment comes through the socket, so it is in no ``docker inspect`` and in no argument
list. Programs of the same person (uid 1000) can read it, as they can read all of this process:
that is what they already are. So nothing is hidden from them with ``PR_SET_DUMPABLE``.

Only the standard library is imported at the top, since the connection comes first; this file lies
in a folder that is root's, and nothing is ever imported from the home.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

SLOT = Path("/home")
HOME = SLOT / "juser"
SOCKET = SLOT / "entry.sock"
#: tmpfs; state that must be writable even if the home is full.
RUN = Path("/run/juliabox")
#: Copied into a new home, once.
NOTEBOOKS = Path("/opt/juliabox/notebooks")
#: What JupyterLab shows who was never there: the first notebook, whose kernel then starts while
#: the page is still being drawn.
FIRST_PAGE = Path("/opt/juliabox/jupyter/first.jupyterlab-workspace")
#: Where JupyterLab looks for what was open last, and the name that it gives to its usual page.
WORKSPACE = Path("lab/workspaces/default-37a8.jupyterlab-workspace")

PORT = 8888
HANDOVER_VERSION = 2

#: Seconds between two attempts to reach the manager, which may be restarting.
RETRY = 0.05
#: Longest line from the manager: 256 variables of 32 KiB, each character escaped.
MAX_LINE = 64 * 1024**2

#: Seconds within which a server with the person's own configuration must listen, not counting
#: those in which the machine was too busy to run it.
START_LIMIT = 30.0

#: First argument of a second start in the same container, with the environment already in place;
#: the second is the descriptor of the connection to the manager.
RELEASED = "--released"
PLAIN = "JUPYTERHUB_DISABLE_USER_CONFIG"

#: Read by the server's modules when they are imported: another value needs another process.
READ_AT_IMPORT = (
    *(f"JUPYTERHUB_ALLOW_{what}" for what in ("TOKEN_IN_URL", "WEBSOCKET_COOKIE_AUTH")),
    *(f"JUPYTERHUB_SINGLEUSER_{what}" for what in ("APP", "EXTENSION", "LOAD_OTHER_EXTENSIONS")),
    *(f"JUPYTERHUB_SSL_{what}" for what in ("CERTFILE", "CLIENT_CA", "KEYFILE")),
    *(f"JUPYTERHUB_XSRF_ANONYMOUS_{what}" for what in ("ID_HEADERS", "IP_CIDRS")),
    *("JUPYTERHUB_METRICS_PREFIX", "JUPYTER_GATEWAY_MAX_REQUEST_RETRIES"),
    *("JUPYTER_ALLOW_INSECURE_WRITES", "JUPYTER_CONFIG_DIR", "JUPYTER_NO_CONFIG"),
    *("JUPYTER_PLATFORM_DIRS", "JUPYTER_USE_PROGRAMDATA"),
    *("JUPYTERLAB_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES"),
)

#: "0" in a container's own environment: no kernel is started ahead.
WARM_KERNEL = "JULIABOX_WARM_KERNEL"


def main() -> None:
    """Wait for the manager and run the server; never returns."""
    os.environ["HOME"] = str(HOME)
    if sys.argv[1:2] == [RELEASED]:
        line = Line.inherited(int(sys.argv[2]))
        load_server()
    else:
        os.closerange(3, 1024)
        imported = {name: os.environ.get(name) for name in READ_AT_IMPORT}
        line = wait_and_load()
        os.environ.update(line.environment)
        settle_in()
        if any(os.environ.get(name) != value for name, value in imported.items()):
            start_again(line)
    os.chdir(HOME if HOME.is_dir() else "/")
    serve(line)


def say(message: str) -> None:
    """Tell the container's log, which the person and the operator see when a start fails."""
    print(f"juliabox: {message}", file=sys.stderr, flush=True)


# --- waiting for the manager ---------------------------------------------------------------------


class Line:
    """The connection to the manager; made again until the environment has come through it."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        self._lock = threading.Lock()
        self._connection = connection
        self._is_loaded = False
        self.environment: dict[str, str] = {}
        #: Set when the environment has come.
        self.released = threading.Event()
        #: Set when the server's port accepts connections.
        self.is_listening = threading.Event()
        #: Whether the kernel that is started ahead was seen to.
        self.has_kernel = False

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
                    self.released.set()
                    return
            with self._lock:
                self._connection = None
            connection.close()
            time.sleep(RETRY)

    def loaded(self) -> None:
        """Tell the manager, now or when it is back, that the server is prepared."""
        with self._lock, contextlib.suppress(OSError):
            self._is_loaded = True
            if self._connection is not None:
                send(self._connection, "loaded")

    def listening(self) -> None:
        """Tell the manager that the server's port accepts connections, and close."""
        self.is_listening.set()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                send(self._connection, "listening")
            self._connection.close()

    def pass_on(self) -> int:
        """Let the next program of this process have the connection; return its descriptor."""
        if self._connection is None:
            return -1
        self._connection.set_inheritable(True)
        return self._connection.fileno()

    @classmethod
    def inherited(cls, descriptor: int) -> Line:
        """Return the connection that the program before passed on."""
        if descriptor < 0:
            return cls()
        os.set_inheritable(descriptor, False)
        return cls(socket.socket(fileno=descriptor))


def send(connection: socket.socket, state: str) -> None:
    """Send one line to the manager."""
    line = json.dumps({"version": HANDOVER_VERSION, "state": state})
    connection.sendall(line.encode() + b"\n")


def wait_and_load() -> Line:
    """Prepare the server while the manager is awaited; return when it has released us."""
    line = Line()
    threading.Thread(target=line.await_release, daemon=True).start()
    load_server()
    if not line.released.is_set():
        rehearse(line)
    if not line.released.is_set():
        prepare_kernel()
        line.has_kernel = True
    line.loaded()
    line.released.wait()
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
    """Load the server's modules."""
    try:
        importlib.import_module("juliabox_server").load()
    except Exception as error:
        say(f"the server cannot be loaded: {error!r}")


def rehearse(line: Line) -> None:
    """Start the server once for nobody; it starts later all the same if that fails."""
    try:
        importlib.import_module("juliabox_server").rehearse(line.released.is_set)
    except Exception as error:
        say(f"the server cannot be rehearsed: {error!r}")
    # what is there stays: the collector need not look at it again
    gc.collect()
    gc.freeze()


def prepare_kernel(how: str = "prepare") -> None:
    """Have a kernel started ahead, where the image can and the operator did not forbid it."""
    if os.environ.get(WARM_KERNEL) == "0":
        return
    try:
        getattr(importlib.import_module("juliabox_kernel.warm"), how)()
    except ImportError:
        pass
    except Exception as error:
        say(f"no kernel can be started ahead: {error!r}")


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
    """Give a new home the welcome notebooks and one open; a home with ``.jupyter`` is not new."""
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
    if FIRST_PAGE.is_file():
        (mark / WORKSPACE).parent.mkdir(parents=True)
        copy_new(FIRST_PAGE, mark / WORKSPACE)


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


def serve(line: Line) -> None:
    """Run the server; if it ends or hangs before it listens, start once without own configuration.

    What the person configured can so never lock them out for good.
    """
    plain = bool(os.environ.get(PLAIN))
    if not plain and has_own_configuration():
        watch(line)
    # the server parses these itself and must not see ours
    sys.argv[:] = ["jupyterhub-singleuser"]
    gc.disable()
    try:
        importlib.import_module("juliabox_server").main(lambda: listening(line))
    except BaseException as error:
        if plain or isinstance(error, KeyboardInterrupt) or line.is_listening.is_set():
            raise
        start_plain(line, repr(error))
    sys.exit(0)


def listening(line: Line) -> None:
    """Tell the manager that the server listens, and do what could wait."""
    line.listening()
    gc.enable()
    if not line.has_kernel:
        threading.Thread(target=prepare_kernel, args=("prepare_when_idle",), daemon=True).start()


def watch(line: Line) -> None:
    """Start without own configuration, from a thread, if the server does not listen in time."""

    def wait() -> None:
        begin = time.monotonic() - starved()
        while time.monotonic() - starved() < begin + START_LIMIT:
            if line.is_listening.wait(0.5):
                return
        start_plain(line, f"it did not listen after {START_LIMIT:g} s")

    threading.Thread(target=wait, daemon=True).start()


def starved() -> float:
    """Return the seconds that the main thread was ready to run and had to wait for a processor."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def start_plain(line: Line, why: str) -> None:
    """Start anew without the person's own configuration."""
    say(f"the server did not start ({why}); starting it without the configuration in ~/.jupyter")
    os.environ[PLAIN] = "1"
    start_again(line)


def start_again(line: Line) -> None:
    """Become a fresh process of this program, with the same environment and connection."""
    os.chdir("/")
    program = [sys.executable, "-I", str(Path(__file__).resolve()), RELEASED, str(line.pass_on())]
    os.execv(sys.executable, program)  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    main()
