"""Names, bounds and types that verbs and answers are made of."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

PROTOCOL_VERSION = 1

#: Largest request in bytes; ``ZMQ_MAXMSGSIZE`` of the manager's socket.
MAX_REQUEST_BYTES = 256 * 1024

#: Largest reply in bytes; ``ZMQ_MAXMSGSIZE`` of a client's socket.
MAX_REPLY_BYTES = 16 * 1024 * 1024

#: ZAP domain; both ends must name it (``ZAP_ENFORCE_DOMAIN``).
ZAP_DOMAIN = "juliabox-manager"

#: Inside a container: where the slot folder is mounted, the socket of the manager in it, and the
#: folder over which the home volume is mounted.
SLOT_MOUNT = "/home"
ENTRY_SOCKET = "entry.sock"
HOME_MOUNT = "juser"

#: Port on which the single-user server listens inside its container.
SESSION_PORT = 8888

#: First port on which workers of an API container listen, and how many of them one may have.
WORKER_PORT = SESSION_PORT
MOST_WORKERS = 16

#: Uid and gid of everything that runs in a session.
SESSION_UID = 1000

#: Bytes of the smallest home.
SMALLEST_DISK = 16 * 1024**2

SessionId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
#: A JupyterHub user name, as the hub knows it: any Unicode, bounded, no control characters.
Owner = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f/]+\Z")]
#: A JupyterHub server name; empty for the default server.
ServerName = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f/]*\Z")]
#: Name of an image on the manager's allow-list; never resolved by the engine.
ImageName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-z0-9][\w.\-/:@]*\Z")]
#: Name of a published API: unique for its publisher.
ApiName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}\Z")]
#: Number of a version of an API; 0 for a source that is not saved yet.
ApiVersion = Annotated[int, Meta(ge=0, le=2**31)]
ProfileName = Annotated[str, Meta(max_length=63, pattern=r"^[a-z0-9_-]*\Z")]
RequestId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
#: Name of a plugin that is a task.
TaskName = Annotated[str, Meta(max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
EnvironmentName = Annotated[str, Meta(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z")]
EnvironmentValue = Annotated[str, Meta(max_length=32768, pattern=r"^[^\x00]*\Z")]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Resource limits of one container; each has a ceiling in the manager's settings."""

    #: Memory in bytes; swap is never added.
    memory: Annotated[int, Meta(ge=64 * 1024**2, le=2**44)]
    #: CPU in cores.
    cpu: Annotated[float, Meta(ge=0.01, le=1024)]
    #: Number of processes and threads.
    pids: Annotated[int, Meta(ge=16, le=65536)]
    #: Size of the home volume in bytes; applies when the volume is made and when it grows. That of
    #: a session has at least :data:`SMALLEST_DISK`; an API container has none: 0.
    disk: Annotated[int, Meta(ge=0, le=2**44)]
