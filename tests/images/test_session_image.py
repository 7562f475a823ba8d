"""A session as it really runs: read-only root, no capability, our seccomp profile, one home."""

from __future__ import annotations

import json
import runpy
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

pytestmark = pytest.mark.engine

#: System calls that a session must be refused, tried in the container by number (x86-64).
CALLS = """
import ctypes, errno, json
libc = ctypes.CDLL(None, use_errno=True)
zero = ctypes.create_string_buffer(256)
numbers = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "keyctl": 250,
    "add_key": 248, "bpf": 321, "mount": 165, "unshare": 272, "setns": 308, "ptrace_kernel": 246,
    "userfaultfd": 323, "perf_event_open": 298, "open_by_handle_at": 304, "init_module": 175}
result = {}
for name, number in numbers.items():
    first = 0x10000000 if name == "unshare" else 8
    ctypes.set_errno(0)
    value = libc.syscall(number, ctypes.c_long(first), zero, zero, 0, 0)
    result[name] = errno.errorcode.get(ctypes.get_errno(), "0") if value == -1 else "admitted"
print(json.dumps(result))
"""

KERNEL = """
import json, sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1], startup_timeout=60)
found = []
def see(message):
    content = message["content"]
    if message["msg_type"] == "execute_result":
        found.append(content["data"]["text/plain"])
reply = client.execute_interactive(sys.argv[2], output_hook=see, timeout=60)
manager.shutdown_kernel(now=True)
print(json.dumps([reply["content"]["status"], *found]))
"""


def run(container: Container, *command: str) -> str:
    code, output = container.exec_run(list(command))
    assert code == 0, output.decode()
    return output.decode()


def test_the_seccomp_profile_is_dockers_own_without_io_uring(seccomp: str) -> None:
    profile = json.loads(seccomp)
    admitted = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {"read", "futex", "clone3", "mount"} <= admitted
    assert not {name for name in admitted if name.startswith("io_uring")}


def test_a_session_is_refused_what_leads_to_the_kernel(
    session: Callable[..., Container],
) -> None:
    container = session(["sleep", "300"], network_mode="none")
    results = json.loads(run(container, "python", "-c", CALLS))
    assert set(results.values()) <= {"EPERM", "ENOSYS"}, results
    code, output = container.exec_run(["unshare", "-Ur", "true"])
    assert code != 0, output
    status = dict(
        line.split(":\t", 1)
        for line in run(container, "cat", "/proc/self/status").splitlines()
        if ":\t" in line
    )
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    code, _ = container.exec_run(["touch", "/opt/anything"])
    assert code != 0


def test_julia_and_its_kernel_run_on_a_read_only_root(
    session: Callable[..., Container], slot: Path
) -> None:
    container = session(
        ["sleep", "300"],
        network_mode="none",
        volumes={str(slot): {"bind": "/home", "mode": "ro"}, str(slot / "juser"): HOME},
    )
    assert run(container, "julia", "-e", "print(sum(1:10))") == "55"
    spec = json.loads(run(container, "jupyter", "kernelspec", "list", "--json"))["kernelspecs"]
    name = max(found for found in spec if found.startswith("julia"))
    result = run(container, "python", "-c", KERNEL, name, "sum(1:10)")
    assert json.loads(result.splitlines()[-1]) == ["ok", "55"]


MEMORY = {
    "/tmp": "size=256m,mode=1777",
    "/run/juliabox": "size=16m,uid=1000,gid=1000,mode=700",
}
HOME = {"bind": "/home/juser", "mode": "rw"}
FETCH = """
import sys, urllib.request
request = urllib.request.Request("http://127.0.0.1:8888" + sys.argv[1],
    headers={"Authorization": "token secret"})
print(urllib.request.urlopen(request, timeout=60).read().decode())
"""


def answer(container: Container, path: str, seconds: float = 180) -> str:
    """Ask the server in the container, until it answers."""
    limit = time.monotonic() + seconds
    while True:
        code, output = container.exec_run(["python", "-c", FETCH, path])
        if code == 0:
            return str(output.decode())
        assert time.monotonic() < limit, output.decode() + container.logs().decode()
        time.sleep(0.3)


def test_jupyterlab_runs_with_the_images_configuration_and_a_full_home(
    session: Callable[..., Container], slot: Path
) -> None:
    container = session(
        ["jupyter", "lab", "--no-browser", "--ip=127.0.0.1", "--port=8888"],
        environment={"JUPYTER_TOKEN": "secret", "MEM_LIMIT": "1073741824", "CPU_LIMIT": "1.0"},
        network_mode="none",
        volumes={str(slot): {"bind": "/home", "mode": "ro"}},
        tmpfs=MEMORY | {"/home/juser": "size=64k,uid=1000,gid=1000,mode=700"},
    )
    run(container, "sh", "-c", "head -c 1m /dev/zero > /home/juser/full; true")
    specs = json.loads(answer(container, "/api/kernelspecs"))
    assert specs["default"].startswith("julia")
    metrics = json.loads(answer(container, "/api/metrics/v1"))
    assert metrics["limits"]["memory"]["rss"] == 1073741824
    page = answer(container, "/lab")
    assert "announcements" in page[page.index("disabledExtensions") :]
    logs = container.logs().decode()
    assert "Traceback" not in logs, logs
    assert container.stats(stream=False)["memory_stats"]["usage"] < 400e6


IDENTITY = {
    "JUPYTERHUB_API_TOKEN": "s3cret",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
    "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada",
    "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!user=ada"]',
    "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
    "JUPYTERHUB_USER": "ada",
}
# what is said of folders that must not be looked into may arrive after all the rest
HELD = (
    "cat /proc/[0-9]*/environ; ls -lR /proc/[0-9]*/fd /proc/[0-9]*/cwd 2>/dev/null; "
    "ls -A /tmp /run/juliabox"
)


def test_a_prepared_session_holds_nothing_and_listens_when_it_is_released(
    session: Callable[..., Container], slot: Path
) -> None:
    (slot / "juser").chmod(0o555)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(slot / "entry.sock"))
        (slot / "entry.sock").chmod(0o666)
        door.listen()
        door.settimeout(180)
        volumes = {str(slot): {"bind": "/home", "mode": "ro"}, str(slot / "juser"): HOME}
        container = session(
            volumes=volumes, network_mode="none", environment={"JULIABOX_WARM_KERNEL": "0"}
        )
        visitor, _ = door.accept()
    visitor.settimeout(180)
    with visitor, visitor.makefile("rw") as line:
        peer = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        assert struct.unpack("3i", peer)[1:] == (1000, 1000)
        assert json.loads(line.readline())["state"] == "loaded"
        held = run(container, "sh", "-c", HELD)
        assert "nobody" not in held and "JUPYTERHUB" not in held
        assert "/home" not in held.replace("HOME=/home/juser", "").replace("/home/juser/.julia", "")
        assert held.endswith("/run/juliabox:\n\n/tmp:\n") or held.endswith("/run/juliabox:\n")
        assert container.logs() == b""
        (slot / "juser").chmod(0o700)
        line.write(json.dumps({"version": 2, "environment": IDENTITY}) + "\n")
        line.flush()
        assert json.loads(line.readline())["state"] == "accepted"
        assert json.loads(line.readline())["state"] == "listening"
        assert line.readline() == ""
    port = (
        "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8888/user/ada/api').read())"
    )
    assert "version" in run(container, "python", "-c", port)
    assert "Traceback" not in container.logs().decode()


def test_a_rehearsed_server_is_the_same_as_one_that_was_not(
    session: Callable[..., Container],
) -> None:
    script = (Path(__file__).parent / "server_account.py").read_text()
    accounts = []
    for kind in ("plain", "rehearsed"):
        container = session(
            ["sleep", "300"],
            network_mode="none",
            environment={"PYTHONHASHSEED": "0"},
            tmpfs=MEMORY | {"/home/juser": "size=1m,uid=1000,gid=1000,mode=700"},
        )
        output = container.exec_run(["python", "-c", script, kind], demux=True)
        assert output.exit_code == 0, output.output
        accounts.append(json.loads(output.output[0]))
    plain, rehearsed = accounts
    assert "Path=/user/ada.b%20c/science/" in rehearsed["answers"]["GET lab "]
    for part, value in plain.items():
        assert rehearsed[part] == value, part


READS = """
import json, os
read, environ = set(), type(os.environ)
get = environ.__getitem__
environ.__getitem__ = lambda self, name: (read.add(str(name)), get(self, name))[1]
import juliabox_server
juliabox_server.load()
print(json.dumps(sorted(read - set(os.environ))))
"""
#: Read at import, too, but said again by the configuration or a default, or of no use in a session.
AGAIN = {"JUPYTERHUB_SERVICE_PREFIX", "JUPYTERHUB_API_URL"}
UNUSED = {f"JUPYTERHUB_SERVER_{what}_DURATION_SECONDS_BUCKETS" for what in ("SPAWN", "STOP")}
UNUSED |= {"JUPYTER_LSP_BUILDING_DOCS"}


def test_what_jupyter_reads_at_import_makes_the_entry_program_start_anew(
    session: Callable[..., Container],
) -> None:
    source = Path(__file__).resolve().parents[2] / "images/julia/juliabox_entry.py"
    known = set(runpy.run_path(str(source))["READ_AT_IMPORT"]) | AGAIN | UNUSED
    container = session(["sleep", "300"], network_mode="none")
    read = json.loads(run(container, "python", "-c", READS))
    assert {name for name in read if name.startswith("JUPYTER")} <= known


@pytest.mark.parametrize("module", ["jupyterhub.singleuser", "jupyterlab.labapp", "jupyterlab_git"])
def test_byte_code_of_the_image_is_used_as_it_is(
    engine: docker.DockerClient, images: dict[str, str], module: str
) -> None:
    script = (
        f"import importlib.util as u, pathlib; p = pathlib.Path(u.find_spec('{module}').cached);"
        "print(p.read_bytes()[4:8].hex())"
    )
    output = engine.containers.run(
        images["julia"], ["-c", script], entrypoint=["/opt/venv/bin/python"], remove=True
    )
    assert output.decode().strip() == "01000000", "hash-based and unchecked"
