"""Try many TCP targets at once and print those that accept.

Usage: reach.py SECONDS JSON, where JSON is a list of pairs of address and port. It runs in a
session, and from the host in any network namespace, so that a closed port is seen by the very
program that sees an open one.
"""

import json
import socket
import sys
import time


def reached(targets: list[list], seconds: float) -> list[list]:
    """Return which targets accept TCP within some seconds."""
    tried = []
    for address, port in targets:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        attempted = socket.socket(family)
        attempted.setblocking(False)
        where = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM)[0][4]
        # how it went is read below
        attempted.connect_ex(where)
        tried.append(([address, port], attempted))
    time.sleep(seconds)
    found = []
    for target, attempted in tried:
        try:
            attempted.getpeername()
        except OSError:
            continue
        found.append(target)
    return found


print(json.dumps(reached(json.loads(sys.argv[2]), float(sys.argv[1]))))
