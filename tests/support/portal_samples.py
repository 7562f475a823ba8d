"""Realistic data for every page of the portal: a class in its third week."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

from juliabox_services.portal import models as m
from juliabox_services.portal import models_admin as a

MIB = 1024**2
GIB = 1024**3
NOW = time.time()
HUB = "/hub/"
PORTAL = "/services/portal/"
#: A name as long as the hub admits, to see that pages hold it.
LONG = "maximiliana.hohenstaufen-wolfenbuettel.of.the.faculty@students.example.university.edu"

FEATURES = {
    "db": ["rdbms"],
    "db.rdbms": ["rdbms"],
    "db.usage_accounting": ["usage"],
    "cloud.bucketstore": ["localdir"],
    "handler.auth.native": ["native"],
    "ui.session.head": ["session-head"],
    "ui.config.section": ["configuration"],
}


def gauges(memory: float = 0.46, cpu: float = 0.31) -> m.Gauges:
    """Return what a session of 2 GiB and 2 cores uses."""
    return m.Gauges(
        memory=m.Gauge(used=memory * 2 * GIB, limit=2 * GIB),
        cpu=m.Gauge(used=cpu * 2, limit=2),
        disk=m.Gauge(used=4.1 * GIB, limit=5 * GIB),
        pids=m.Gauge(used=38, limit=256),
    )


def links(server: str = "") -> list[m.Link]:
    """Return the ways into a running server."""
    base = f"/user/ada/{server}/" if server else "/user/ada/"
    return [
        m.Link(kind="lab", label="JupyterLab", url=f"{base}lab"),
        m.Link(kind="frame", label="With its gauges", url=f"{PORTAL}session/{server}"),
    ]


def running(server: str = "", label: str = "My session") -> m.SessionView:
    """Return a session that runs."""
    return m.SessionView(
        server=server,
        label=label,
        url=f"/user/ada/{server}",
        state="running",
        started=NOW - 5400,
        last_activity=NOW - 240,
        time_left=3360,
        time_left_why="idle",
        time_limit=3600,
        image="juliabox/julia",
        profile="large",
        profile_label="Large",
        gauges=gauges(),
        links=links(server),
        can_stop=True,
    )


def stopped(server: str, label: str, ending: str = "") -> m.SessionView:
    """Return a session that does not run."""
    return m.SessionView(
        server=server,
        label=label,
        url=f"/user/ada/{server}",
        state="stopped",
        last_activity=NOW - 3 * 86400,
        ending=ending,
        can_start=True,
        can_remove=bool(server),
    )


def starting(server: str, label: str, stage: str, progress: int) -> m.SessionView:
    """Return a session that is starting."""
    return m.SessionView(
        server=server,
        label=label,
        url=f"/user/ada/{server}",
        state="starting",
        stage=stage,
        progress=progress,
        can_stop=True,
    )


HOME_VOLUME = m.VolumeView(
    kind="home",
    label="Home",
    path="/home/juser",
    state="mounted",
    used=int(4.1 * GIB),
    size=5 * GIB,
    servers=[""],
)

PROFILES = [
    m.Profile(slug="small", label="Small", description="1 GiB, 1 core", default=True),
    m.Profile(slug="large", label="Large", description="2 GiB, 2 cores, for the project weeks"),
]


def home() -> m.Home:
    """Return three sessions: one that runs, one that starts, one that ran out of memory."""
    ending = "It ran out of memory: its limit is 1 GiB. Choose a larger profile, or free variables."
    return m.Home(
        sessions=[
            running(),
            starting("thesis", "thesis", "Mounting the home volume", 55),
            stopped("experiments", "experiments", ending),
        ],
        volumes=[
            HOME_VOLUME,
            m.VolumeView(
                kind="data", label="Climate data", path="/data/climate", state="idle", size=40 * GIB
            ),
        ],
        profiles=PROFILES,
        named_servers_left=1,
    )


def empty_home() -> m.Home:
    """Return what a new person has."""
    return m.Home(sessions=[stopped("", "My session")], named_servers_left=3)


def packages() -> m.Packages:
    """Return the packages of one image, and an image of which nothing is known."""
    julia = "Dates LinearAlgebra Markdown Pkg Printf Random REPL SHA Sockets SparseArrays Test"
    found = [
        m.Package(name=name, version="1.5.3", language="julia", summary="Standard library")
        for name in julia.split()
    ]
    found += [
        m.Package(name="jupyterlab", version="4.6.0", language="python", summary="JupyterLab"),
        m.Package(name="ipykernel", version="7.1.0", language="python", summary="Python kernel"),
    ]
    return m.Packages(
        images=[
            m.PackageSet(image="juliabox/julia", profiles=["Small", "Large"], packages=found),
            m.PackageSet(image="example/gpu", missing="This image has no list of packages."),
        ]
    )


def tokens() -> m.Tokens:
    """Return tokens of all kinds."""
    return m.Tokens(
        tokens=[
            m.Token(
                id="a12",
                note="nightly run on the laptop",
                created=NOW - 86400,
                expires=NOW + 29 * 86400,
                last_used=NOW - 3600,
                scopes=["access:servers!user", "servers!user"],
            ),
            m.Token(id="a9", note="", created=NOW - 90 * 86400, expires=None),
            m.Token(
                id="o3",
                note="JuliaBox portal",
                created=NOW - 7200,
                expires=NOW + 14 * 86400,
                last_used=NOW - 5,
                kind="login",
            ),
        ],
        longest=365 * 86400,
    )


def archive() -> m.Archive:
    """Return one thing that can be had, and one that cannot."""
    return m.Archive(
        items=[
            m.ArchiveItem(
                label="Home",
                description="All files of your home as a .tar archive",
                url=f"{PORTAL}api/archive/home.tar",
                size=int(4.1 * GIB),
            ),
            m.ArchiveItem(
                label="Usage",
                description="When your sessions ran, as a table (CSV)",
                url=f"{PORTAL}api/archive/usage.csv",
            ),
            m.ArchiveItem(
                label="Climate data",
                description="All files of the volume",
                url="",
                unavailable="Start a session that has it mounted first.",
            ),
        ],
        volumes=[HOME_VOLUME],
    )


USERS = [
    "ada", "alan", "annie", "barbara", "dorothy", "edsger", "emmy", "evelyn", "grace", "hedy",
    "katherine", "mary", "radia", "sophie", "tim", LONG,
]  # fmt: skip


def users() -> a.Users:
    """Return a class."""
    rows = [
        a.UserRow(
            name=name,
            admin=name == "ada",
            roles=["admin"] if name == "ada" else ["statistics"] if name == "grace" else [],
            groups=["course-2026"] if index % 3 else ["course-2026", "thesis"],
            state="pending" if name == "tim" else "active",
            created=NOW - (40 - index) * 86400,
            last_activity=None if name == "tim" else NOW - index * 5000 - 60,
            servers=index % 3,
        )
        for index, name in enumerate(USERS)
    ]
    return a.Users(users=rows, total=1_024, pending=1)


def sessions() -> a.Sessions:
    """Return sessions of several people."""
    rows = [
        a.SessionRow(
            owner=name,
            server="thesis" if index % 4 == 3 else "",
            state="starting" if index == 1 else "running",
            image="juliabox/julia",
            profile="large" if index % 2 else "small",
            instance="box-1",
            container=f"{index + 11:x}4f0c9d21ab"[:12],
            started=None if index == 1 else NOW - index * 1700 - 100,
            time_left=3600 - index * 150,
            time_left_why="idle",
            memory=None if index == 1 else (0.2 + 0.04 * index) * GIB,
            memory_limit=2 * GIB,
            cpu=None if index == 1 else 0.11 * index,
            cpu_limit=2,
        )
        for index, name in enumerate(USERS)
    ]
    ended = a.SessionRow(owner="hedy", server="", state="ended", ending="It ran out of memory.")
    return a.Sessions(sessions=[*rows, ended], total=len(rows) + 1)


def volumes() -> a.Volumes:
    """Return homes in every state."""
    states = ("mounted", "idle", "idle", "mounted", "quarantined", "removed", "stuck")
    rows = [
        a.VolumeRow(
            volume=f"{name[:18]}-{index:02x}8e1f",
            owner=name,
            kind="home",
            state=states[index % len(states)],
            instance="box-1",
            size=5 * GIB,
            allocated=int((0.3 + 0.27 * index) * GIB),
            sessions=["ab12"] if index % 7 == 0 else [],
            delete_after=NOW + 5 * 86400 if index % 7 == 5 else None,
        )
        for index, name in enumerate(USERS)
    ]
    return a.Volumes(volumes=rows, total=len(rows))


def instances() -> a.Instances:
    """Return a leader, and a machine that does not answer."""
    return a.Instances(
        instances=[
            a.InstanceView(
                name="box-1",
                state="ready",
                leader=True,
                public_host="julia.example.org",
                local_host="10.0.0.11",
                sessions=16,
                sessions_limit=40,
                memory_total=64 * GIB,
                memory_promised=27 * GIB,
                disk_free=212 * GIB,
                volumes_used=38.2,
                engine="28.0.1",
                images_fresh=True,
                load=0.42,
                provider="singlenode",
                pools=[
                    a.PoolRow(
                        image="juliabox/julia",
                        wanted=4,
                        ready=3,
                        loading=1,
                        claimed=128,
                        missed=6,
                        failed=0,
                        memory=1_140 * 2**20,
                    ),
                    a.PoolRow(
                        image="lab/geo",
                        wanted=2,
                        ready=0,
                        loading=0,
                        claimed=9,
                        missed=14,
                        failed=1,
                        memory=0,
                        reason="pool.memory admits no more",
                    ),
                ],
            ),
            a.InstanceView(
                name="box-2", state="unreachable", images_fresh=False, provider="singlenode"
            ),
        ]
    )


def plugins() -> a.Plugins:
    """Return built-in plugins, a stranger's, and two that are faulty."""
    built_in = [
        ("rdbms", "juliabox.db", ["db", "db.rdbms"]),
        ("usage", "juliabox.db", ["db.table", "db.usage_accounting"]),
        ("home", "juliabox.volume", ["volume.userhome", "volume.userhome.local"]),
        ("localdir", "juliabox.cloud", ["cloud.bucketstore"]),
        ("singlenode", "juliabox.cloud", ["cloud.compute", "cloud.compute.singlenode"]),
        ("session-head", "juliabox.ui", ["ui.session.head"]),
    ]
    rows = [
        a.PluginView(
            name=name,
            group=group,
            distribution="juliabox",
            version="0.1.0",
            features=features,
            enabled=True,
            built_in=True,
        )
        for name, group, features in built_in
    ]
    rows.append(
        a.PluginView(name="s3", group="juliabox.cloud", distribution="juliabox", version="0.1.0",
                     features=["cloud.bucketstore", "cloud.bucketstore.s3"], built_in=True)
    )  # fmt: skip
    rows.append(
        a.PluginView(
            name="campus-mail",
            group="juliabox.cloud",
            distribution="juliabox-campus",
            version="2.3",
            features=["cloud.sendmail"],
            enabled=True,
            fault="campus-mail of juliabox-campus is configured wrongly in "
            "plugins.settings.campus-mail: server: Field required",
            fault_code="plugin.settings",
            fault_part="hub",
        )
    )
    rows.append(
        a.PluginView(name="ghost", group="", enabled=True, required=False,
                     fault="plugin ghost is enabled and not installed", fault_code="plugin.unknown",
                     fault_part="portal")
    )  # fmt: skip
    return a.Plugins(plugins=rows, features=FEATURES)


def _point(day: datetime, days: int) -> a.UsagePoint:
    number = day.toordinal()
    swing = 0.6 + 0.4 * math.sin(number / 9) + 0.25 * math.sin(number * 1.7)
    weekend = 0.35 if day.weekday() >= 5 and days == 1 else 1.0
    count = max(0, round(46 * swing * weekend * (1 if days == 1 else 5)))
    return a.UsagePoint(
        start=day.timestamp(),
        sessions=count,
        users=round(count * (0.62 if days == 1 else 0.3)),
        hours=round(count * 2.4, 1),
    )


def usage(by: str = "day", first: str = "", last: str = "") -> a.Usage:
    """Return usage within a range, four weeks unless told."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = datetime.fromisoformat(last).replace(tzinfo=UTC) if last else today
    begin = datetime.fromisoformat(first).replace(tzinfo=UTC) if first else end - timedelta(days=13)
    step = 7 if by == "week" else 1
    day = begin - timedelta(days=begin.weekday()) if by == "week" else begin
    points = []
    while day <= end:
        points.append(_point(day, step))
        day += timedelta(days=step)
    span = (end - begin).total_seconds() + 86400
    load = [
        a.LoadPoint(
            time=begin.timestamp() + span * index / 240,
            sessions=round(9 + 7 * math.sin(index / 6) + 3 * math.sin(index / 1.3)),
            memory=0.4 + 0.25 * math.sin(index / 6),
        )
        for index in range(240)
    ]
    return a.Usage(
        by="week" if by == "week" else "day",
        first=begin.date().isoformat(),
        last=end.date().isoformat(),
        points=points,
        load=load,
        users=87,
        images={"juliabox/julia": 412, "example/gpu": 57},
    )


FAILURES = [
    a.Failure(
        time=NOW - 900,
        kind="session",
        subject="hedy",
        code="session.memory",
        message="The session ran out of memory: its limit is 1 GiB.",
        instance="box-1",
    ),
    a.Failure(
        time=NOW - 7200,
        kind="start",
        subject="tim/thesis",
        code="no_room.sessions",
        message="No room: 40 of 40 sessions run.",
        instance="box-1",
    ),
    a.Failure(
        time=NOW - 40000,
        kind="plugin",
        subject="campus-mail",
        code="plugin.settings",
        message="campus-mail of juliabox-campus is configured wrongly: server: Field required",
    ),
]


def failures() -> a.Failures:
    """Return a failure of each kind."""
    return a.Failures(failures=FAILURES, since=NOW - 30 * 86400)


def tasks() -> a.Tasks:
    """Return tasks in every state."""
    return a.Tasks(
        tasks=[
            a.TaskView(
                name="disk-use", plugin="disk-use", kind="node", instance="box-1",
                schedule="every 10 min", state="succeeded", last_run=NOW - 320, duration=1.7,
                next_run=NOW + 280, result='{"attached": 16, "fullest": ["ada"]}',
            ),
            a.TaskView(
                name="image-freshness", plugin="image-freshness", kind="node", instance="box-1",
                schedule="every day", state="failed", last_run=NOW - 6000, duration=0.4,
                next_run=NOW + 80000, result="image example/gpu is not on the engine",
                code="image.absent",
            ),
            a.TaskView(
                name="stale-entities", plugin="stale-entities", kind="node", instance="box-1",
                schedule="every hour", state="running", last_run=NOW - 4,
            ),
            a.TaskView(
                name="usage-statistics", plugin="usage-statistics", kind="cluster",
                instance="box-1", schedule="every hour", state="never", next_run=NOW + 1800,
            ),
        ]
    )  # fmt: skip


CONFIGURATION = """\
name: course
bind: 0.0.0.0
port: 8000
public_url: https://julia.example.org
authentication:
  login: native
  admin: ada
  signup: approval
sessions:
  memory: 1.0 GiB
  cpu: 1.0
  pids: 256
  idle_timeout: 3600
  max_age: 0
plugins:
  enable:
  - campus-mail
  settings:
    campus-mail:
      password: (hidden)
      sender: juliabox@example.org
"""


def configuration() -> a.Configuration:
    """Return a configuration with a secret in it."""
    return a.Configuration(
        text=CONFIGURATION,
        path="/var/lib/juliabox/config.yaml",
        changed=["name", "bind", "public_url", "authentication.admin", "plugins"],
    )


def message() -> a.Message:
    """Return a message with an address in it."""
    return a.Message(
        text="Sessions end on Friday at 18:00 for an upgrade. See https://status.example.org",
        level="warning",
        author="ada",
        written=NOW - 3600,
    )


def overview() -> a.Overview:
    """Return an installation with a fault or two."""
    return a.Overview(
        users=1024,
        users_pending=1,
        sessions_running=16,
        sessions_limit=40,
        memory_promised=27 * GIB,
        memory_total=64 * GIB,
        disk_free=212 * GIB,
        instances=2,
        instances_ready=1,
        plugin_faults=2,
        failures=2,
        days=usage().points,
        recent_failures=FAILURES,
    )
