"""Run in the session image: give an account of a server made for somebody, as JSON.

``server_account.py plain``: JupyterHub's own; ``rehearsed``: prepared as the entry program does.
"""

import asyncio
import json
import os
import re
import socket
import sys
from typing import Any

PREFIX = "/user/ada.b%20c/science/"
IDENTITY = {
    "HOME": "/home/juser",
    "JUPYTERHUB_USER": "ada.b c",
    "JUPYTERHUB_SERVER_NAME": "science",
    "JUPYTERHUB_API_TOKEN": "token-of-ada",
    "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada.b%20c-science",
    "JUPYTERHUB_API_URL": "http://172.30.0.2:8081/hub/api",
    "JUPYTERHUB_ACTIVITY_URL": "http://172.30.0.2:8081/hub/api/users/ada/activity",
    "JUPYTERHUB_BASE_URL": "/",
    "JUPYTERHUB_HOST": "https://julia.example.org",
    "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
    "JUPYTERHUB_SERVICE_URL": f"http://0.0.0.0:8888{PREFIX}",
    "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{PREFIX}oauth_callback",
    "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!server=ada/science", "access:servers!user=ada"]',
    "JUPYTERHUB_DEFAULT_URL": "/lab/tree/course",
    "MEM_LIMIT": "123456789",
    "CPU_LIMIT": "1.5",
}
REQUESTS = [
    "GET api", "GET lab", "GET tree", "GET lab/tree/x", "GET api/kernelspecs", "GET api/status",
    "GET lab/api/settings", "GET lab/api/translations", "GET api/me", "GET api/contents/x",
    "GET api/metrics/v1", "GET static/favicon.ico", "GET nothing", "GET ../bob/api", "GET logout",
    "GET hub/x", "POST api/sessions", "GET proxy/9/", "GET lab/api/workspaces/default",
    "GET juliabox/packages", "GET git-pull", "GET api/terminals", "GET oauth_callback",
]  # fmt: skip
#: What differs between any two servers: addresses in memory, times, random numbers.
CHANGING = [
    (r" at 0x[0-9a-f]+", ""),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(Z|\+00:00)?", "TIME"),
    (r"datetime\.datetime\([^)]*\)", "TIME"),
    (r"\b20\d{12}\b", "TIME"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "TIME"),
    (r"(state|code_challenge|_xsrf)=[^;&\s]+", r"\1=RANDOM"),
    (r"(oauth-state|session-id)[\w=|:.-]+", r"\1=RANDOM"),
    (r"(Etag|W?/?\"[0-9a-f]{40}\").*", "ETAG"),
    (r"Content-Length: \d+", "LENGTH"),
    (r"jpserver-(file-to-run-)?\d+", "PROCESS"),
    (r"\"(rss|pss|disk_used|disk_total|disk|cpu_percent)\": [\d.]+", "NUMBER"),
    (r"\"warn\": \w+", "WARN"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22,}", "ID"),
]


def steady(value: object) -> str:
    """Return a value as text, without what changes."""
    text = str(value)
    for pattern, instead in CHANGING:
        text = re.sub(pattern, instead, text)
    return text


def make(kind: str) -> Any:
    """Make a server with the identity, which has no port and asks nothing of a hub."""
    if kind == "plain":
        os.environ.update(IDENTITY)
        from jupyterhub.singleuser.extension import JupyterHubSingleUser as Server

        async def nothing(_: Any) -> None:
            pass

        Server.check_hub_version = Server.keep_activity_updated = nothing
    else:
        import juliabox_server

        os.environ["HOME"] = IDENTITY["HOME"]
        juliabox_server.load()
        before = dict(os.environ)
        juliabox_server.rehearse(lambda: False)
        assert dict(os.environ) == before
        os.environ.update(IDENTITY)
        from juliabox_server.singleuser import change
        from jupyterhub.singleuser.extension import JupyterHubSingleUser as Server

        change()
    os.chdir(IDENTITY["HOME"])
    server = Server.make_serverapp(jpserver_extensions={"jupyterhub": True})
    server.aliases.update(Server.aliases)
    server.initialize(argv=[], starter_extension=Server.name, new_httpserver=False)
    return server


def routes(router: Any) -> list[str]:
    """List the patterns, handlers and arguments."""
    found: list[str] = []
    for rule in router.rules:
        pattern = getattr(getattr(rule.matcher, "regex", None), "pattern", type(rule.matcher))
        found.append(steady(f"{pattern} {rule.target} {sorted(rule.target_kwargs.items())}"))
        if hasattr(rule.target, "rules"):
            found += routes(rule.target)
    return found


async def answers(server: Any) -> dict[str, str]:
    """Send each request as the owner, with another's token, and without one."""
    from tornado.httpserver import HTTPServer
    from tornado.iostream import IOStream

    person = {"kind": "user", "name": "ada.b c", "admin": False, "groups": []}
    person["scopes"] = list(server.identity_provider.hub_auth.access_scopes)

    async def person_of(token: str, *_: Any, **__: Any) -> Any:
        return person if token == "hers" else None

    server.identity_provider.hub_auth.user_for_token = person_of
    found = {}
    for request in REQUESTS:
        for who in ("hers", "other", ""):
            near, far = (IOStream(end) for end in socket.socketpair())
            HTTPServer(server.web_app).handle_stream(far, ("127.0.0.1", 0))
            method, path = request.split()
            head = f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: julia.example.org\r\n"
            head += f"Authorization: token {who}\r\n" if who else ""
            await near.write((head + "Connection: close\r\nContent-Length: 0\r\n\r\n").encode())
            text = (await near.read_until_close()).decode(errors="replace")
            found[f"{request} {who}"] = steady(text)
    return found


def account(kind: str) -> dict[str, object]:
    """Tell all that is known of a server."""
    server = make(kind)
    loop = server.io_loop
    # the order of imports shows in the flags of a command line that nobody writes
    left_out = ("cookie_secret", "flags")
    settings, traits = (
        {name: steady(value) for name, value in values.items() if name not in left_out}
        for values in (server.web_app.settings, server.trait_values())
    )
    return {
        "settings": settings,
        "traits": traits,
        "configuration": steady(server.config),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name in IDENTITY},
        "routes": routes(server.web_app.default_router),
        "hub": steady(sorted(server.identity_provider.hub_auth.trait_values().items(), key=str)),
        "answers": loop.run_sync(lambda: answers(server)),
    }


if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())
    print(json.dumps(account(sys.argv[1])))
