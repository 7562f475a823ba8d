"""The server extension and the welcome notebook, with a real Jupyter server and kernel."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = [Path("/opt/juliabox/notebooks"), Path("/src/julia/notebooks")]
TOKEN = "check"


class Server:
    """A Jupyter server that looks for activity each half second."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.folder = folder
        self.address = f"http://127.0.0.1:{port}/api"
        self.process = subprocess.Popen(
            ["jupyter", "server", f"--port={port}", "--no-browser",
             f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}",
             "--Activity.interval=0.5", "--MultiKernelManager.default_kernel_name=julia"],
            stderr=subprocess.DEVNULL, env={**os.environ, "JUPYTER_RUNTIME_DIR": str(folder)},
        )  # fmt: skip

    def call(self, path: str, data: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self.address + path,
            data=None if data is None else json.dumps(data).encode(),
            headers={"Authorization": f"token {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def idle_for(self, seconds: float) -> bool:
        """Whether the last activity stays the same for that long."""
        before = self.call("/status")["last_activity"]
        time.sleep(seconds)
        return self.call("/status")["last_activity"] == before


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    for _ in range(600):
        try:
            server.call("/status")
            break
        except OSError:
            time.sleep(0.1)
    yield server
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(60)


def test_silent_busy_kernel_counts_as_activity(server: Server, tmp_path: Path) -> None:
    from jupyter_client.blocking.client import BlockingKernelClient

    kernel = server.call("/kernels", {"name": "julia"})

    client = BlockingKernelClient(connection_file=f"{server.folder}/kernel-{kernel['id']}.json")
    client.load_connection_file()
    client.start_channels()
    for _ in range(20):
        # a client of its own takes a kernel that needs more than a second to start for dead
        with contextlib.suppress(RuntimeError):
            client.wait_for_ready(timeout=40)
            break
        time.sleep(1)
    while server.call(f"/kernels/{kernel['id']}")["execution_state"] != "idle":
        time.sleep(0.2)
    assert any(server.idle_for(1.5) for _ in range(10))
    client.execute("sleep(30)")
    time.sleep(1)
    assert any(not server.idle_for(1.5) for _ in range(5))
    client.stop_channels()


def test_program_in_a_terminal_counts_and_a_prompt_does_not(server: Server) -> None:
    from juliabox_activity.watch import has_foreground_program
    from ptyprocess import PtyProcess

    class Terminal:
        ptyproc = PtyProcess.spawn(["bash", "--norc", "-i"])

    time.sleep(1)
    assert not has_foreground_program(Terminal)
    Terminal.ptyproc.write(b"sleep 100\n")
    end = time.monotonic() + 60
    while not has_foreground_program(Terminal):
        assert time.monotonic() < end
        time.sleep(0.1)
    Terminal.ptyproc.terminate(force=True)
    assert not has_foreground_program(object())


def test_welcome_notebook_runs_from_top_to_bottom() -> None:
    path = next(f for f in NOTEBOOKS if f.exists()) / "welcome.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, kernel_name="julia", timeout=100).execute()
    shown = {t for c in notebook.cells for o in c.get("outputs", []) for t in o.get("data", {})}
    assert {"text/plain", "text/html", "text/latex", "image/svg+xml", "text/markdown"} <= shown


def page(server: Server, path: str, *, token: str = TOKEN) -> Any:
    """Ask for a page of the server's own, not of its API."""
    address = server.address.removesuffix("/api")
    headers = {"Authorization": f"token {token}"} if token else {}
    return urllib.request.urlopen(
        urllib.request.Request(f"{address}/{path}", headers=headers), timeout=60
    )


def test_home_comes_as_an_archive_to_its_owner_alone(server: Server) -> None:
    home = Path.home()
    (home / "notes").write_text("kept\n")
    os.mkfifo(home / "pipe")
    with page(server, "juliabox/home.tar.gz") as answer:
        assert answer.headers["Content-Type"] == "application/gzip"
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
        with tarfile.open(fileobj=io.BytesIO(answer.read())) as archive:
            notes = archive.extractfile("notes")
            assert notes is not None and notes.read() == b"kept\n"
            assert "pipe" not in archive.getnames()
    for path in ("juliabox/home.tar.gz", "juliabox/packages"):
        with page(server, path, token="wrong") as answer:
            assert "/login?" in answer.url


def test_a_client_that_leaves_stops_its_download_and_a_second_at_once_is_refused(
    server: Server,
) -> None:
    large = Path.home() / "large"
    with large.open("wb") as file:
        file.truncate(1024**4)
    try:
        answer = page(server, "juliabox/home.tar.gz")
        answer.read(100_000)
        with pytest.raises(urllib.error.HTTPError) as refused:
            page(server, "juliabox/home.tar.gz")
        assert refused.value.code == 429
        # it is active as long as it sends; the page itself stays quick
        assert any(not server.idle_for(1.5) for _ in range(5))
        answer.close()
    finally:
        large.unlink()
    for _ in range(300):
        try:
            page(server, "juliabox/home.tar.gz").read()
            return
        except urllib.error.HTTPError:
            time.sleep(0.1)
    raise AssertionError("the download goes on without its client")


def test_packages_are_told_by_environment(server: Server) -> None:
    folder = Path.home() / ".julia/environments/v1.5"
    folder.mkdir(parents=True)
    (folder / "Project.toml").write_text('[deps]\nExample = "7876af07"\n')
    with page(server, "juliabox/packages") as answer:
        (found,) = json.loads(answer.read())["environments"]
    assert (found["name"], [one["name"] for one in found["packages"]]) == ("v1.5", ["Example"])
