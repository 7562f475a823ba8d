"""What the portal's pages show: the JSON of every page, and the table of pages.

The back end fills these structures, the templates embed one as JSON, and the scripts draw from it
and fetch it again from the page's ``api`` address. Unless said otherwise times are Unix time in
seconds, spans are seconds and sizes are bytes; ``None`` means *not known* or *no such bound*, and
is never the same as 0.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct, field

from juliabox_services.portal.models_admin import (
    Configuration,
    Failures,
    Instances,
    Message,
    Overview,
    Plugins,
    PublishedApis,
    Sessions,
    Tasks,
    Usage,
    Users,
    Volumes,
)
from juliabox_services.portal.models_apis import ApiPage, MyApis


class Fault(Struct, frozen=True, kw_only=True):
    """Body of every answer of ``api/`` that is not 2xx."""

    #: Stable code of the error (docs/reference/errors.md).
    code: str
    #: A sentence for the person: what failed, and what to do.
    message: str


class Me(Struct, frozen=True, kw_only=True):
    """The person that a page is for."""

    name: str
    admin: bool = False
    #: Roles of accounts: ``user``, ``statistics``, ``containers``, ``api-publisher``, ``admin``.
    roles: list[str] = field(default_factory=list)
    #: Names of the admin pages, out of :data:`PAGES`, that the person may open.
    admin_pages: list[str] = field(default_factory=list)


class Page(Struct, frozen=True, kw_only=True):
    """What every page carries, whatever its data; in the page as JSON, without any secret."""

    #: Name out of :data:`PAGES`.
    name: str
    me: Me
    #: Path of the portal, such as ``/services/portal/``; begins and ends with a slash.
    portal_url: str
    #: Path of the hub, such as ``/hub/``.
    hub_url: str
    #: Value of the header ``X-XSRFToken`` of every request of a script, those that read included.
    xsrf_token: str = ""
    #: Message of the day; ``None``: there is none.
    message: Message | None = None
    #: Feature -> plugins: what ``juliabox_ext.get_pluggedin_features()`` answers.
    features: dict[str, list[str]] = field(default_factory=dict)
    #: Addresses of the plugins' scripts (``JBP_JS_TOP``).
    scripts: list[str] = field(default_factory=list)
    #: Whether this installation runs published APIs.
    apis: bool = False
    #: Version of JuliaBox, for the foot of the page.
    version: str = ""


class Gauge(Struct, frozen=True, kw_only=True):
    """One measure against its limit."""

    used: float
    #: ``None``: without limit.
    limit: float | None = None


class Gauges(Struct, frozen=True, kw_only=True):
    """What a running session uses; a measure that its instance does not tell is ``None``."""

    #: Bytes.
    memory: Gauge | None = None
    #: Cores.
    cpu: Gauge | None = None
    #: Bytes of the home.
    disk: Gauge | None = None
    #: Processes and threads.
    pids: Gauge | None = None


class Link(Struct, frozen=True, kw_only=True):
    """A way into a running session."""

    #: ``lab``, ``notebook``, ``files``, ``terminal``, ``frame`` or a plugin's own word.
    kind: str
    label: str
    url: str


class SessionView(Struct, frozen=True, kw_only=True):
    """A server of a person, running or not."""

    #: Server name; empty for the default server.
    server: str
    #: Name to show.
    label: str
    #: Path of the server, such as ``/user/ada/``.
    url: str
    state: Literal["stopped", "starting", "running", "stopping"]
    #: Sentence and percentage of a start under way; else empty and ``None``.
    stage: str = ""
    progress: int | None = None
    #: Why it ended or did not start, in a sentence; empty if there is nothing to tell.
    ending: str = ""
    #: ``None`` unless it runs.
    started: float | None = None
    last_activity: float | None = None
    #: Seconds until it is stopped; ``None``: by no clock.
    time_left: float | None = None
    #: What stops it then: not used for so long, its age, or nothing.
    time_left_why: Literal["idle", "age", "none"] = "none"
    #: The span in seconds that ``time_left`` counts down from; ``None`` with ``none``.
    time_limit: float | None = None
    image: str = ""
    #: Slug and name of the profile; empty if there is none.
    profile: str = ""
    profile_label: str = ""
    #: ``None`` unless it runs and its manager answers.
    gauges: Gauges | None = None
    links: list[Link] = field(default_factory=list)
    can_start: bool = False
    can_stop: bool = False
    #: A named server that is stopped can be forgotten.
    can_remove: bool = False


class Profile(Struct, frozen=True, kw_only=True):
    """A choice at the start of a session."""

    slug: str
    label: str
    description: str = ""
    default: bool = False


class VolumeView(Struct, frozen=True, kw_only=True):
    """A disk of a person."""

    #: ``home``, ``data`` or ``packages``.
    kind: str
    label: str
    #: Where sessions see it.
    path: str
    state: Literal["idle", "mounted", "stuck", "quarantined", "removed"]
    #: Bytes in use, as its file system counts them; ``None`` if it is not mounted.
    used: int | None = None
    #: Bytes; ``None``: no bound.
    size: int | None = None
    #: Servers that have it mounted.
    servers: list[str] = field(default_factory=list)


class Home(Struct, frozen=True, kw_only=True):
    """Data of ``home``: also what its gauges fetch every few seconds."""

    #: The default server first.
    sessions: list[SessionView]
    volumes: list[VolumeView] = field(default_factory=list)
    #: Profiles that the person may choose; fewer than two: nothing is asked.
    profiles: list[Profile] = field(default_factory=list)
    #: Named servers that may be added to those in ``sessions``; 0: none.
    named_servers_left: int = 0
    #: The manager's state is not known now: gauges and volumes are missing.
    degraded: str = ""


class StartServer(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST ``api/servers/start``; answered with 202 and :class:`SessionView`."""

    server: str = ""
    profile: str = ""


class NameServer(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST ``api/servers/stop`` and ``api/servers/remove``; answered with 202 and null."""

    server: str = ""


class Package(Struct, frozen=True, kw_only=True):
    """A package of a session image."""

    name: str
    version: str
    #: ``julia`` or ``python``.
    language: str
    summary: str = ""


class PackageSet(Struct, frozen=True, kw_only=True):
    """The packages of one image."""

    image: str
    #: Profiles that start it.
    profiles: list[str] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    #: Why they are not known; empty if they are.
    missing: str = ""


class Packages(Struct, frozen=True, kw_only=True):
    """Data of ``packages``."""

    images: list[PackageSet]


class Token(Struct, frozen=True, kw_only=True):
    """A token of a person; never its secret."""

    id: str
    note: str
    created: float
    #: ``None``: never.
    expires: float | None = None
    last_used: float | None = None
    #: ``token``: the person made it; ``login``: of a log-in or a service.
    kind: Literal["token", "login"] = "token"
    scopes: list[str] = field(default_factory=list)


class Tokens(Struct, frozen=True, kw_only=True):
    """Data of ``tokens``, newest first."""

    tokens: list[Token]
    #: Longest life of a token in seconds; ``None``: no bound.
    longest: float | None = None


class NewToken(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST ``api/tokens``; answered with 201 and :class:`MadeToken`."""

    note: str
    #: Seconds; ``None``: never ends.
    expires_in: float | None = None


class MadeToken(Struct, frozen=True, kw_only=True):
    """A new token, with its secret: this once."""

    token: str
    id: str
    expires: float | None = None


class Section(Struct, frozen=True, kw_only=True):
    """A piece of a page that a UI plugin renders."""

    plugin: str
    #: The plugin's rendered template: trusted HTML. Empty if it failed; the fault is reported.
    html: str = ""


class Settings(Struct, frozen=True, kw_only=True):
    """Data of ``settings``; the sections are rendered into the page, not fetched."""

    sections: list[Section] = field(default_factory=list)


class ArchiveItem(Struct, frozen=True, kw_only=True):
    """Something that can be downloaded."""

    label: str
    description: str
    url: str
    #: ``None``: not known beforehand.
    size: int | None = None
    #: Why it cannot be had now, in a sentence; empty if it can.
    unavailable: str = ""


class Archive(Struct, frozen=True, kw_only=True):
    """Data of ``files``: everything that a person owns here."""

    items: list[ArchiveItem]
    volumes: list[VolumeView] = field(default_factory=list)


class SessionFrame(Struct, frozen=True, kw_only=True):
    """Data of ``session``: the frame around one server; ``api/session/SERVER`` is fetched."""

    session: SessionView
    #: Head widgets (``JBP_UI_SESSION_HEAD``), in the plugins' order; rendered into the page.
    head: list[Section] = field(default_factory=list)


class PageInfo(NamedTuple):
    """One page: what it is rendered from."""

    name: str
    #: Below ``portal_url``.
    route: str
    #: File in ``templates/``.
    template: str
    #: Structure of its data; the same is answered by GET ``api/<name>``.
    data: type[Struct]
    title: str
    #: Below ``portal_url``; admin pages have ``api/admin/…``.
    api: str
    admin: bool = False
    #: Pattern of what its addresses end with; a page that has one is not in the menu.
    rest: str = ""


def _person(name: str, route: str, data: type[Struct], title: str) -> PageInfo:
    return PageInfo(name, route, f"{name}.html", data, title, f"api/{route or name}")


def _one(name: str, route: str, data: type[Struct], title: str, rest: str = "([^/]*)") -> PageInfo:
    """Return a page of one thing of several, which its address names."""
    return PageInfo(name, f"{route}/", f"{name}.html", data, title, f"api/{route}", rest=rest)


def _admin(name: str, data: type[Struct], title: str) -> PageInfo:
    route = "admin/" if name == "overview" else f"admin/{name}"
    return PageInfo(name, route, f"admin/{name}.html", data, title, f"api/admin/{name}", True)


#: Every page, in the order of the navigation. A template's context is ``page`` (:class:`Page`),
#: ``info`` (:class:`PageInfo`), ``data`` and, for HTML of plugins, ``sections``. The session
#: frame's route and address end with the server's name (nothing: the default server), those of an
#: API with its publisher and its name.
PAGES: dict[str, PageInfo] = {
    info.name: info
    for info in (
        _person("home", "", Home, "Sessions"),
        _person("my-apis", "apis", MyApis, "APIs"),
        _person("packages", "packages", Packages, "Packages"),
        _person("tokens", "tokens", Tokens, "Tokens"),
        _person("files", "files", Archive, "Downloads"),
        _person("settings", "settings", Settings, "Settings"),
        _one("session", "session", SessionFrame, "Session"),
        _one("api", "apis", ApiPage, "API", "([^/]+/[^/]+)"),
        _admin("overview", Overview, "Overview"),
        _admin("users", Users, "Users"),
        _admin("sessions", Sessions, "Sessions"),
        _admin("volumes", Volumes, "Volumes"),
        _admin("instances", Instances, "Instances"),
        _admin("apis", PublishedApis, "Published APIs"),
        _admin("plugins", Plugins, "Plugins"),
        _admin("usage", Usage, "Usage"),
        _admin("failures", Failures, "Failures"),
        _admin("tasks", Tasks, "Tasks"),
        _admin("configuration", Configuration, "Configuration"),
        _admin("message", Message, "Message"),
    )
}
