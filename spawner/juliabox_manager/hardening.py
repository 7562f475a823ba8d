"""The one place that says how the container of a session, or of an API, is made.

:func:`container_config` turns an image id, limits, a slot and a kind into the body of the engine's
create call. Nothing a client sends reaches that body except the four numbers of its limits, which
policy has bounded. Each entry carries its reason.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from juliabox_ext.errors import ConfigurationError
from juliabox_manager.protocol import HOME_MOUNT, SESSION_PORT, SESSION_UID, SLOT_MOUNT, Limits
from juliabox_manager.records import Kind
from juliabox_manager.settings import ManagerSettings

LABEL_INSTALLATION: Final = "juliabox.installation"
LABEL_SESSION: Final = "juliabox.session"
LABEL_DIGEST: Final = "juliabox.digest"
#: ``api`` on API containers; sessions lack it.
LABEL_KIND: Final = "juliabox.kind"

#: Bytes and inodes of the small tmpfs folders.
_RUN_SIZE: Final = 16 * 1024**2
_SHM_SIZE: Final = 64 * 1024**2
_RUN_INODES: Final = 4096
_TMP_INODES: Final = 65_536

#: Microseconds over which the CPU quota is measured.
_CPU_PERIOD: Final = 100_000

#: Weights of a session, which is the engine's default, and of a warm container, which is the least.
_SHARES: Final = 1024
_WARM_SHARES: Final = 2

#: Cores, and processes and threads, of a warm container: a server and a Julia.
_WARM_CPU: Final = 1.0
_WARM_PIDS: Final = 256

#: Limits that a container which runs can be given anew.
_CHANGEABLE: Final = ("Memory", "MemorySwap", "CpuPeriod", "CpuQuota", "PidsLimit")

_DISABLE_IPV6: Final = ("net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6")
_IPV6: Final = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")

#: Stands for a session where a config is made only to be compared.
_NOBODY: Final = "0" * 16


#: System calls of which the kernel counts what they make for the user, over all containers: one API
#: could take all of them from others, or signal to them. No Julia needs them to serve.
COUNTED_BY_USER: Final = frozenset(
    {"inotify_init", "inotify_init1", "timer_create", "mq_open", "fanotify_init"}
)

#: Digests that are kept; clients choose limits freely below their ceilings.
_DIGESTS: Final = 1000


class Hardening:
    """Makes container configs for one installation."""

    def __init__(self, settings: ManagerSettings) -> None:
        """Read the seccomp profile once; raise ``ConfigurationError`` if it cannot be used."""
        self._settings = settings
        profile = _read_seccomp(settings.seccomp)
        #: Profiles by kind, as the engine takes them.
        self._seccomp: dict[Kind, str] = {
            "session": _compact(profile),
            "api": _compact(_without(profile, COUNTED_BY_USER)),
        }
        #: Digests by image, limits and kind: asked for each time a session is described.
        self._digests: dict[tuple[str, Limits, Kind], str] = {}
        #: Whether the engine can weigh block input and output; known once it has answered.
        self.blkio = False

    def config(
        self, session: str, image_id: str, limits: Limits, kind: Kind = "session"
    ) -> dict[str, Any]:
        """Return the body of the create call, its digest label included."""
        seccomp = self._seccomp[kind]
        body = container_config(
            self._settings, seccomp, session, image_id, limits, kind=kind, blkio=self.blkio
        )
        body["Labels"][LABEL_DIGEST] = self.digest(image_id, limits, kind)
        return body

    def warm_config(self, session: str, image_id: str, kind: Kind = "session") -> dict[str, Any]:
        """Return the body of the create call for a warm container: as any, and last in everything.

        Only the limits of the session that claims it make it different, see :meth:`raised`.
        """
        body = self.config(session, image_id, self.warm_limits(kind), kind)
        # what people wait for goes before; a loaded one idles
        body["HostConfig"]["CpuShares"] = _WARM_SHARES
        return body

    def warm_limits(self, kind: Kind = "session") -> Limits:
        """Return the limits of a warm container; it has no disk.

        That of an API has no more than each API container may have, until its own are set.
        """
        memory, cpu, pids = self._settings.warm_memory(kind), _WARM_CPU, _WARM_PIDS
        if kind == "api" and self._settings.api is not None:
            most = self._settings.api.ceilings
            cpu, pids = min(cpu, most.cpu), min(pids, most.pids)
        return Limits(memory=memory, cpu=cpu, pids=pids, disk=0)

    def raised(self, limits: Limits) -> dict[str, int]:
        """Return the body of the update call that gives a warm container its session's limits."""
        entries = _limits(limits, blkio=False)
        return {name: entries[name] for name in _CHANGEABLE} | {"CpuShares": _SHARES}

    def digest(self, image_id: str, limits: Limits, kind: Kind = "session") -> str:
        """Return a digest of all that shapes a container apart from its session.

        A session whose digest differs from that of the present settings is stale. Block weight is
        left out: it depends on the engine, not on the settings.
        """
        key = image_id, limits, kind
        known = self._digests.get(key)
        if known is None:
            if len(self._digests) >= _DIGESTS:
                self._digests.clear()
            known = self._digests[key] = self._digest(*key)
        return known

    def _digest(self, image_id: str, limits: Limits, kind: Kind) -> str:
        seccomp = self._seccomp[kind]
        body = container_config(
            self._settings, seccomp, _NOBODY, image_id, limits, kind=kind, blkio=False
        )
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]


def container_config(
    settings: ManagerSettings,
    seccomp: str,
    session: str,
    image_id: str,
    limits: Limits,
    *,
    kind: Kind = "session",
    blkio: bool,
) -> dict[str, Any]:
    """Return the body of the engine's create call for one session or API container.

    They differ in what they are told, and in the calls of :data:`COUNTED_BY_USER`.
    """
    environment = [f"JULIABOX_PORT={SESSION_PORT}"]
    labels = {LABEL_INSTALLATION: settings.installation, LABEL_SESSION: session}
    if kind == "session":
        # whether the entry program prepares a Julia; no secret
        environment.append(f"JULIABOX_WARM_KERNEL={int(settings.pool.kernel)}")
    else:
        labels[LABEL_KIND] = kind
    return {
        # by id: a tag can be moved, an id cannot
        "Image": image_id,
        # all of a session runs as one unprivileged user; the image's own USER is not trusted
        "User": f"{SESSION_UID}:{SESSION_UID}",
        # what a terminal shows; tells nothing of the person
        "Hostname": f"{kind}-{session[:8]}",
        # outside the home, so that a home mounted later is not hidden by a busy directory
        "WorkingDir": "/",
        # the environment comes through the slot: nothing secret is ever in `docker inspect`
        "Env": environment,
        # for the proxy to find it; publishing is another matter, see PortBindings
        "ExposedPorts": {f"{SESSION_PORT}/tcp": {}},
        # a health check of the image would run as a process of the session, against its limits
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "Labels": labels,
        "HostConfig": {
            **_privileges(seccomp, settings.runtime),
            **_limits(limits, blkio=blkio),
            **_filesystem(settings, session),
            **_network(settings),
        },
        "NetworkingConfig": {"EndpointsConfig": {settings.network.name: {}}},
    }


def _privileges(seccomp: str, runtime: str) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "Privileged": False,
        # no capability, and none to be had: set-uid programs and file capabilities give nothing
        "CapDrop": ["ALL"],
        "CapAdd": [],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp}"],
        # own namespaces of every kind; nothing shared with the host or a neighbour
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "Devices": [],
        "GroupAdd": [],
        # the image has tini; the engine's own would have to be trusted beside it
        "Init": False,
    }
    if runtime:
        entries["Runtime"] = runtime
    return entries


def _limits(limits: Limits, *, blkio: bool) -> dict[str, Any]:
    entries: dict[str, Any] = {
        # swap equal to memory means none is added: a bomb dies at once instead of thrashing
        "Memory": limits.memory,
        "MemorySwap": limits.memory,
        # a quota, not NanoCpus: the engine refuses more of those than the host has cores
        "CpuPeriod": _CPU_PERIOD,
        "CpuQuota": max(1000, round(limits.cpu * _CPU_PERIOD)),
        # a fork bomb ends here
        "PidsLimit": limits.pids,
        "Ulimits": [
            # no core files: they would fill the home with memory images
            {"Name": "core", "Soft": 0, "Hard": 0},
            # enough for a notebook server with many kernels, little for the host
            {"Name": "nofile", "Soft": 8192, "Hard": 16384},
        ],
        # when the host itself runs out, sessions die before the parts that serve everybody
        "OomScoreAdj": 500,
        "OomKillDisable": False,
        "ShmSize": _SHM_SIZE,
        # a session's end is the manager's business; the engine restarts nothing
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        # a log bomb holds at most 2 MB of disk
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
    }
    if blkio:
        # below the default of 500, so that the parts and the store go first
        entries["BlkioWeight"] = 300
    return entries


def _filesystem(settings: ManagerSettings, session: str) -> dict[str, Any]:
    slot = slots_folder(settings) / session
    owned = f"uid={SESSION_UID},gid={SESSION_UID}"
    return {
        # writable are only the home, which has a quota, and tmpfs, which counts as memory
        "ReadonlyRootfs": True,
        "Tmpfs": {
            # exec: build tools run what they unpack here
            "/tmp": "rw,exec,nosuid,nodev,mode=1777,"  # noqa: S108 a path inside the container
            f"size={settings.tmp_size},nr_inodes={_TMP_INODES}",
            # JUPYTER_RUNTIME_DIR: a server starts although the home is full
            "/run/juliabox": f"rw,noexec,nosuid,nodev,mode=0700,{owned},"
            f"size={_RUN_SIZE},nr_inodes={_RUN_INODES}",
        },
        "Mounts": [
            {
                "Type": "bind",
                "Source": str(slot),
                "Target": SLOT_MOUNT,
                # the slot itself is unlimited host disk, so read-only; the home that is mounted
                # on it later comes in by propagation and keeps its own flags
                "ReadOnly": True,
                # engines from API 1.44 on would else make a home read-only, too, that happens to
                # be mounted before the container starts
                "BindOptions": {"Propagation": "rslave", "ReadOnlyNonRecursive": True},
            }
        ],
        "VolumeDriver": "",
        "VolumesFrom": None,
    }


def _network(settings: ManagerSettings) -> dict[str, Any]:
    return {
        "NetworkMode": settings.network.name,
        # reached by the proxy on the sessions network only
        "PortBindings": {},
        "PublishAllPorts": False,
        "ExtraHosts": [],
        "Dns": [],
        "Links": None,
        # the policy's rules and the network are IPv4; without this, link-local IPv6 would reach
        # neighbours. A kernel without IPv6 has no such setting, and nothing starts that has it
        "Sysctls": dict.fromkeys(_DISABLE_IPV6, "1") if _IPV6.exists() else {},
    }


def slots_folder(settings: ManagerSettings) -> Path:
    """Return the folder of all slots."""
    return settings.state / "slots"


def home_target(settings: ManagerSettings, session: str) -> Path:
    """Return where a session's home is mounted on the host."""
    return slots_folder(settings) / session / HOME_MOUNT


def _read_seccomp(path: Path) -> dict[str, Any]:
    try:
        profile = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"seccomp profile {path}: {error}; sessions are not made without one",
            code="configuration.seccomp",
        ) from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise ConfigurationError(
            f"seccomp profile {path} has no defaultAction", code="configuration.seccomp"
        )
    return profile


def _without(profile: dict[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """Return a seccomp profile with no rule that admits one of the refused calls."""
    rules = [
        {**rule, "names": [name for name in rule["names"] if name not in refused]}
        for rule in profile.get("syscalls", [])
    ]
    return {**profile, "syscalls": [rule for rule in rules if rule["names"]]}


def _compact(profile: dict[str, Any]) -> str:
    return json.dumps(profile, sort_keys=True, separators=(",", ":"))
