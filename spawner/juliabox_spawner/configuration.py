"""Options of JuliaBoxSpawner, and what they decide for one person: profile, image and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dockerspawner import DockerSpawner
from jupyterhub.traitlets import ByteSpecification
from traitlets import Any as AnyTrait
from traitlets import Bool, Callable, Dict, Float, Integer, List, Unicode, Union, default, validate

from juliabox_ext.errors import ConfigurationError
from juliabox_manager.protocol import Limits
from juliabox_spawner import limits as limit_rules
from juliabox_spawner import options, profiles
from juliabox_spawner.client import ManagerClient
from juliabox_spawner.engine import Manager


class SpawnerOptions(DockerSpawner):  # type: ignore[misc]  # DockerSpawner is untyped
    """DockerSpawner with JuliaBox's options added and those that it cannot honour refused."""

    manager_endpoint = Unicode(
        config=True,
        help="""Where the container manager listens, such as ``tcp://10.64.16.3:9500``.

        No default; `juliabox up` sets it. Without it, the server key and the secret key file no
        server starts.
        """,
    )
    manager_server_key = Unicode(
        config=True,
        help="""The manager's public CURVE key (z85, 40 characters).

        A manager with another key is not spoken to.
        """,
    )
    manager_secret_key_file = Unicode(
        config=True,
        help="""File that holds the hub's own secret CURVE key (z85).

        The manager admits listed keys alone.
        """,
    )
    pids_limit = Integer(
        512,
        config=True,
        help="""Most processes and threads of one session.

        Default 512: enough for JupyterLab, several kernels and parallel Julia. `juliabox up` sets
        it to ``sessions.pids`` of config.yaml. A fork bomb ends here, and so does a program that
        wants more threads: it gets "Resource temporarily unavailable".
        """,
    )
    disk_limit = ByteSpecification(
        2 * 1024**3,
        config=True,
        help="""Size of a person's home volume, in bytes or with K, M, G or T.

        Applies when the volume is made; with a larger value later it grows at the next start with
        no other server of the person running. It never shrinks. One home serves all servers.
        """,
    )
    stop_grace = Float(
        10.0,
        config=True,
        help="""Seconds that a session has to end by itself when it is stopped.

        Default 10, Docker's own; at most 60, the manager's bound. Kernels save nothing by
        themselves in this time; notebooks are saved by the browser.
        """,
    )
    start_limit = Float(
        0.0,
        config=True,
        help="""Seconds that a start may take from its turn in the queue until its server answers.

        Default 0: what ``start_timeout`` leaves. `juliabox up` sets it to
        ``sessions.start_timeout`` of config.yaml, and JupyterHub's ``start_timeout``, which covers
        the waiting as well, to somewhat more than both together.
        """,
    )
    queue_timeout = Float(
        600.0,
        config=True,
        help="""Seconds that a start waits for its turn, and for room, before it is given up.

        Default 600; `juliabox up` sets it to ``sessions.queue_timeout``. It counts only as far as
        ``start_timeout`` admits.
        """,
    )
    concurrent_starts = Integer(
        0,
        config=True,
        help="""Starts that work at the same time; the others wait in the queue.

        Default 0: twice as many as there are processors, at least 4. More at once makes each of
        them slower and none faster. `juliabox up` sets it to ``sessions.concurrent_starts``.
        """,
    )
    profile_list = Union(
        [List(Dict()), Callable()],
        config=True,
        help="""Profiles that people choose from, or a callable that returns them.

        Each is a dict with ``display_name`` and optionally ``slug``, ``description``, ``default``,
        ``groups`` and ``users`` (who may use it), ``image``, ``memory``, ``cpu``, ``pids``,
        ``disk`` and ``environment``. A callable takes the spawner and may be async.
        """,
    )
    group_limits = Dict(
        config=True,
        help="""Limits for members of groups: ``{"group": {"memory": …, "cpu": …}}``.

        The highest of a person's groups replaces the default; the profile's own limits, and the
        manager's ceilings, come after.
        """,
    )
    user_limits = Dict(
        config=True,
        help="""Limits of single people: ``{"name": {"memory": …, "cpu": …}}``.

        They replace those of the person's groups; the profile's own limits, and the manager's
        ceilings, come after.
        """,
    )
    api_url = Unicode(
        config=True,
        help="""Folder of all APIs as sessions reach it: their ``JULIABOX_API_URL``.

        Default empty: sessions are told of none, and nothing can be published from a notebook.
        `juliabox up` sets it where the API engine runs.
        """,
    )
    remove = Bool(
        True,
        config=True,
        help="""Always True: a stopped session's container is removed.

        A container is never reused, so a changed image or setting always takes effect.
        """,
    )

    manager = AnyTrait(help="Client of the container manager; shared by all spawners of a hub.")

    _shared: ClassVar[dict[tuple[str, str, str], ManagerClient]] = {}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        options.check_config(self.config)

    @default("manager")
    def _default_manager(self) -> Manager:
        key = (self.manager_endpoint, self.manager_server_key, self.manager_secret_key_file)
        if not all(key):
            raise ConfigurationError(
                "JuliaBoxSpawner needs manager_endpoint, manager_server_key and "
                "manager_secret_key_file"
            )
        if key not in self._shared:
            secret = Path(key[2]).read_text(encoding="ascii").strip()
            self._shared[key] = ManagerClient(key[0], key[1], secret)
        return self._shared[key]

    @default("pull_policy")
    def _default_pull_policy(self) -> str:
        # session.create itself refuses an image that is not allowed, or not there
        return "skip"

    @default("use_internal_ip")
    def _default_use_ip(self) -> bool:
        return True

    @default("options_form")
    def _default_options_form(self) -> Any:
        if self.profile_list:
            return _options_form
        return super()._default_options_form()

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return profiles.from_form

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        # options are judged at start, where a refusal has a reason
        return lambda spawner, user_options: None

    @validate("profile_list")
    def _validate_profile_list(self, proposal: Any) -> Any:
        if not callable(proposal.value):
            profiles.read(proposal.value)
        return proposal.value

    @validate("remove")
    def _validate_remove(self, proposal: Any) -> bool:
        if proposal.value is not True:
            raise ConfigurationError(f"remove: {options.FIXED['remove'][1]}")
        return True

    async def get_profiles(self) -> list[profiles.Profile]:
        """Return the profiles that this person may use."""
        entries = self.profile_list
        if callable(entries):
            entries = entries(self)
            if hasattr(entries, "__await__"):
                entries = await entries
        return profiles.offered(profiles.read(entries), self.user.name, self._groups())

    def limits_for(self, profile: profiles.Profile | None) -> Limits:
        """Return this person's limits with a profile."""
        base = Limits(
            memory=int(self.mem_limit or 1024**3),
            cpu=float(self.cpu_limit or 1.0),
            pids=self.pids_limit,
            disk=int(self.disk_limit),
        )
        chosen = profile.limits() if profile else {}
        own = self.user_limits.get(self.user.name, {})
        return limit_rules.resolve(base, self.group_limits, self._groups(), own, chosen)

    def _groups(self) -> list[str]:
        return [group.name for group in self.user.groups]


async def _options_form(spawner: SpawnerOptions) -> str:
    mine = await spawner.get_profiles()
    texts = {}
    for profile in mine:
        decided = spawner.limits_for(profile)
        texts[profile.slug] = (
            f"{decided.cpu:g} CPU · {decided.memory / 1024**3:.3g} GB memory · "
            f"{decided.disk / 1024**3:.3g} GB files"
        )
    return profiles.form(mine, texts)
