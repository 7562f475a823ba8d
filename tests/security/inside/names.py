"""What a session learns from names; printed as JSON. Usage: names.py NEIGHBOUR REGISTRY HUB."""

import json
import socket
import ssl
import sys
import urllib.error
import urllib.request


def resolves(name: str) -> bool:
    """Whether a name has an address."""
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def answers(host: str) -> bool:
    """Whether a web server of a name answers a request; who it is does not matter here."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"https://{host}/", method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=20, context=context)
    except urllib.error.HTTPError:
        return True
    except OSError as error:
        print(error, file=sys.stderr)
        return False
    return True


neighbour, registry, hub = sys.argv[1:]
told = {
    "neighbour": socket.gethostbyaddr(neighbour)[0],
    "people": {name: resolves(name) for name in ("victor", "mallory", "session-victor")},
    "hostname": socket.gethostname(),
    "hub": urllib.request.urlopen(f"http://{hub}/hub/api", timeout=10).status,
    "resolved": resolves(registry),
    "answered": answers(registry),
}
print(json.dumps(told))
