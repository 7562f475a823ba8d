"""What a stolen hub would like to ask for: requests that must die in the schema (S1 to S4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.door import LIMITS, SESSION, valid_create

API_LIMITS = {**LIMITS, "disk": 0}

#: Options of Docker's API, of its SDK and of DockerSpawner that would give away the host.
FORBIDDEN: dict[str, Any] = {
    "privileged": True,
    "Privileged": True,
    "cap_add": ["ALL"],
    "CapAdd": ["SYS_ADMIN"],
    "cap_drop": [],
    "devices": ["/dev/sda:/dev/sda:rwm"],
    "Devices": [{"PathOnHost": "/dev/sda"}],
    "device_cgroup_rules": ["a *:* rwm"],
    "device_requests": [{"Count": -1}],
    "network_mode": "host",
    "NetworkMode": "container:hub",
    "network": "host",
    "pid_mode": "host",
    "PidMode": "host",
    "ipc_mode": "host",
    "uts_mode": "host",
    "userns_mode": "host",
    "UsernsMode": "host",
    "cgroupns": "host",
    "cgroup_parent": "/",
    "CgroupParent": "/docker",
    "security_opt": ["seccomp=unconfined"],
    "SecurityOpt": ["apparmor=unconfined", "systempaths=unconfined"],
    "MaskedPaths": [],
    "ReadonlyPaths": [],
    "sysctls": {"kernel.core_pattern": "|/x"},
    "Sysctls": {"net.ipv4.ip_forward": "1"},
    "runtime": "runc-evil",
    "extra_hosts": {"hub": "10.0.0.1"},
    "restart_policy": {"Name": "always"},
    "RestartPolicy": {"Name": "always"},
    "volumes": {"/": {"bind": "/host", "mode": "rw"}},
    "Binds": ["/:/host"],
    "mounts": [{"Type": "bind", "Source": "/etc", "Target": "/etc"}],
    "Mounts": [{"Type": "volume", "VolumeOptions": {"DriverConfig": {"Options": {"o": "bind"}}}}],
    "volumes_from": ["hub"],
    "VolumesFrom": ["manager:rw"],
    "volume_driver": "local",
    "driver_opts": {"type": "none", "o": "bind", "device": "/etc"},
    "tmpfs": {"/run": "exec"},
    "ports": {"22/tcp": 22},
    "PortBindings": {"8888/tcp": [{"HostPort": "80"}]},
    "publish_all_ports": True,
    "links": {"hub": "hub"},
    "dns": ["10.0.0.1"],
    "user": "0:0",
    "User": "root",
    "group_add": ["0"],
    "command": ["/bin/sh"],
    "entrypoint": ["/bin/sh"],
    "Entrypoint": "/bin/sh",
    "working_dir": "/proc/self/root",
    "labels": {"juliabox.installation": "other"},
    "name": "hub",
    "container": "hub",
    "container_id": "hub",
    "hostname": "hub",
    "oom_kill_disable": True,
    "ulimits": [{"Name": "core", "Soft": -1}],
    "read_only": False,
    "HostConfig": {"Privileged": True},
    "host_config": {"Binds": ["/:/host"]},
    "extra_host_config": {"privileged": True},
    "path": "/etc/shadow",
    "target": "../../etc",
    "seccomp": "unconfined",
    "shm_size": 2**40,
    "environment_file": "/etc/shadow",
}

ABSENT_VERBS = (
    *("session.exec", "session.commit", "session.cp", "session.build", "session.logs"),
    *("exec", "commit", "build", "raw", "docker", "container.create", "containers/create"),
    *("image.pull", "image.build", "image.load", "image.tag", "image.remove", "volume.create"),
    *(
        "volume.mount",
        "network.create",
        "network.connect",
        "task.create",
        "task.stop",
        "pool.create",
        "swarm.init",
    ),
    *("session.attach", "session.archive", "session.update", "session.rename", "session.kill"),
    *("SESSION.CREATE", "session.create ", " session.create", "session.create\0", "", "__class__"),
)

BAD_SESSIONS = (
    *("", "hub", "../hub", "/", "0123456789ABCDEF", "0123456789abcdef\n", "0123456789abcde"),
    *("0123456789abcdef0", "juliabox-hub", "0" * 64, "sha256:" + "0" * 64, "*", "..", "\0" * 16),
)

BAD_NAMES = ("", "\0", "a\0b", "a/b", "../x", "/etc", "a\nb", "\x7f", "x" * 256, "\x1b[2J", "\r\n")

BAD_APIS = ("", "Fib", "9fib", "-fib", "fib_", "a/b", "../x", "a\n", "ä", "x" * 41, "_", "$(id)")

BAD_TASKS = ("", "../x", "/bin/sh", "a b", "-x", ".x", "a\0", "a\n", "ä", "x" * 64, "a:b", "$(id)")

BAD_IMAGES = (
    *("", "/etc", "../x", "Juliabox/julia", " juliabox/julia", "juliabox/julia\n", "-v", "x" * 256),
    *("juliabox/julia --privileged", "$(id)", "juliabox/julia;id", "\0", "http:\\\\x", "@sha256:0"),
)

WRONG_TYPES = (None, True, 1, 1.5, "x", b"x", [], [1], {}, {"a": 1}, 2**63, -1)


def hostile_bodies() -> Iterator[tuple[str, Any]]:
    """Give a name and a body for each hostile request."""
    for field, value in FORBIDDEN.items():
        yield f"create-{field}", valid_create(**{field: value})
        yield f"limits-{field}", valid_create(limits={**LIMITS, field: value})
        yield f"start-{field}", _start(**{field: value})
        yield f"stop-{field}", {"verb": "session.stop", "session": SESSION, field: value}
        yield f"ensure-{field}", {"verb": "image.ensure", "image": "juliabox/julia", field: value}
        yield f"run-{field}", {"verb": "task.run", "task": "disk-use", "data": {}, field: value}
        yield f"api-{field}", valid_api(**{field: value})
        yield f"api-limits-{field}", valid_api(limits={**API_LIMITS, field: value})
        if field != "container":
            yield f"api-start-{field}", _api_start(**{field: value})
    for verb in ABSENT_VERBS:
        yield f"verb-{verb!r}", {"verb": verb, "session": SESSION}
    yield from _bad_names()
    yield from _bad_apis()
    yield from _bad_limits()
    yield from _bad_environments()
    yield from _bad_shapes()


def valid_api(**changes: Any) -> dict[str, Any]:
    """Return the body of a valid ``api.create``, with changes."""
    body = {"verb": "api.create", "publisher": "ada", "api": "fib", "version": 1}
    return {**body, "limits": API_LIMITS, **changes}


def _api_start(**changes: Any) -> dict[str, Any]:
    return {"verb": "api.start", "container": SESSION, "environment": {}, **changes}


def _bad_apis() -> Iterator[tuple[str, Any]]:
    for name in BAD_APIS:
        yield f"api-name-{name[:9]!r}", valid_api(api=name)
    for name in BAD_NAMES:
        yield f"api-publisher-{name[:9]!r}", valid_api(publisher=name)
    for version in (-1, 2**40, 1.5, "1", None):
        yield f"api-version-{version!r}", valid_api(version=version)
    for disk in (1, 2**24, -1):
        yield f"api-disk-{disk}", valid_api(limits={**API_LIMITS, "disk": disk})
    yield "api-image", valid_api(image="juliabox/julia-api")
    for container in BAD_SESSIONS:
        yield f"api.start-{container!r}", _api_start(container=container)
        yield f"api.retire-{container!r}", {"verb": "api.retire", "container": container}


def _start(**changes: Any) -> dict[str, Any]:
    return {"verb": "session.start", "session": SESSION, "environment": {}, **changes}


def _bad_names() -> Iterator[tuple[str, Any]]:
    verbs = ("start", "inspect", "stop", "remove", "usage")
    for verb in (f"session.{name}" for name in verbs):
        for session in BAD_SESSIONS:
            more = {"environment": {}} if verb == "session.start" else {}
            yield f"{verb}-{session!r}", {"verb": verb, "session": session, **more}
    for session in BAD_SESSIONS:
        yield f"usages-{session!r}", {"verb": "session.usages", "sessions": [SESSION, session]}
    yield "usages-too-many", {"verb": "session.usages", "sessions": [SESSION] * 1001}
    for name in BAD_NAMES:
        yield f"owner-{name[:9]!r}", valid_create(owner=name)
        for verb in ("volume.list", "volume.remove", "volume.restore"):
            yield f"{verb}-{name[:9]!r}", {"verb": verb, "owner": name}
        if name:
            yield f"server-{name[:9]!r}", valid_create(server=name)
            yield f"profile-{name[:9]!r}", valid_create(profile=name)
    for task in BAD_TASKS:
        yield f"task-{task[:9]!r}", {"verb": "task.run", "task": task}
        yield f"results-{task[:9]!r}", {"verb": "task.results", "task": task}
    for image in BAD_IMAGES:
        yield f"image-{image[:20]!r}", valid_create(image=image)
        yield f"ensure-{image[:20]!r}", {"verb": "image.ensure", "image": image}


def _bad_limits() -> Iterator[tuple[str, Any]]:
    numbers = (0, -1, 2**45, 2**64 - 1, float("nan"), float("inf"), float("-inf"), 1e300)
    for field in LIMITS:
        for number in numbers:
            yield f"{field}-{number}", valid_create(limits={**LIMITS, field: number})
        for wrong in ("1g", None, [], {}, True):
            yield f"{field}-{wrong!r}", valid_create(limits={**LIMITS, field: wrong})
        left = {name: value for name, value in LIMITS.items() if name != field}
        yield f"without-{field}", valid_create(limits=left)
    for grace in (-1, 61, float("nan"), float("inf"), "1"):
        body = {"verb": "session.stop", "session": SESSION, "grace": grace}
        yield f"grace-{grace}", body
    for limit in (0, -1, 101, 1.5, "1", None):
        yield f"results-limit-{limit}", {"verb": "task.results", "limit": limit}
    for wait in (-0.1, 31, float("nan"), 1e9):
        yield f"wait-{wait}", {"verb": "events", "wait": wait}


def _bad_environments() -> Iterator[tuple[str, Any]]:
    names = ("", "A=B", "1A", "A B", "A\0", "LD PRELOAD", "ä", "a-b", "X" * 129, "A\n")
    for name in names:
        yield f"environment-{name[:9]!r}", _start(environment={name: "x"})
    for value in (None, 1, [], {}, "a\0b", "x" * 32769, b"x"):
        yield f"value-{str(value)[:9]!r}", _start(environment={"A": value})
    yield "too-many-variables", _start(environment={f"A{i}": "" for i in range(257)})
    for wrong in (None, [], "A=B", [["A", "B"]]):
        yield f"environment-as-{wrong!r}", _start(environment=wrong)


def _bad_shapes() -> Iterator[tuple[str, Any]]:
    for wrong in WRONG_TYPES:
        yield f"body-{wrong!r}", wrong
        yield f"owner-as-{wrong!r}", valid_create(owner=None if wrong == "x" else wrong)
        yield f"limits-as-{wrong!r}", valid_create(limits=wrong)
        if not isinstance(wrong, dict):
            yield f"data-as-{wrong!r}", {"verb": "task.run", "task": "x", "data": wrong}
        yield f"verb-as-{wrong!r}", {"verb": wrong, "session": SESSION}
    for field in ("owner", "server", "image", "limits", "verb"):
        body = {name: value for name, value in valid_create().items() if name != field}
        yield f"create-without-{field}", body
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    yield "deep-owner", valid_create(owner=deep)
    yield "deep-unknown", valid_create(unknown=deep)
