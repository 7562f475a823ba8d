"""Try to be handed an environment: at the manager's socket, at one of our own, at any other."""

import errno
import json
import socket
from pathlib import Path

SOCKET = "/home/entry.sock"


def tried(action: str) -> str:
    """Return the error of connecting to the manager's socket, or of putting one in its place."""
    with socket.socket(socket.AF_UNIX) as door:
        try:
            getattr(door, action)(SOCKET)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return ""


others = [path.name for path in Path("/home").iterdir() if path.name != "juser"]
print(json.dumps({"connect": tried("connect"), "bind": tried("bind"), "others": others}))
