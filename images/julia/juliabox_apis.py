"""Asks the API engine for a notebook: ``juliabox_apis.py publish|list|remove``.

Julia's module ``JuliaBox`` runs it, since the standard library of an older Julia speaks no HTTP.
A JSON object comes on standard input; the address of the engine, the session's own token and its
owner's name come from the environment. Records go to standard output: fields and their names, each
ended by NUL, and a record separator after each record. What failed goes there as text for a person,
with exit code 1.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

#: Seconds for an answer: a source is loaded in a container that is made for it.
PATIENCE = 180.0
#: Times that a busy engine is asked again, and the longest pause between two.
TRIES, LONGEST_PAUSE = 4, 10.0
LARGEST_ANSWER = 32 * 1024**2

ROLE = (
    "Publishing is a role: an administrator gives it (juliabox user grant NAME api-publisher). "
    "A server that was started before has to be started again: File, Hub Control Panel."
)
AWAY = "The API engine does not answer ({}). Nothing was changed; try again in a moment."
SILENT = "The API engine gave no answer ({}); see JuliaBox.apis() for what came of it."

Json = dict[str, Any]


class RefusedError(Exception):
    """An answer of the engine that is no success, or none at all."""

    def __init__(self, status: int, fault: Json) -> None:
        super().__init__(str(fault.get("message") or f"the engine answered {status}"))
        self.status = status
        self.fault = fault


class Engine:
    """The interface of the API engine, as this session's owner."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.base = environment["JULIABOX_API_URL"].rstrip("/") + "/_/"
        self.token = environment.get("JUPYTERHUB_API_TOKEN", "")
        self.owner = environment.get("JUPYTERHUB_USER", "")
        # the engine is on the sessions' own network, whatever proxy the person set
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects())

    def path(self, api: str) -> str:
        """Return the path of one of the owner's APIs."""
        return f"apis/{quote(self.owner, safe='')}/{quote(api, safe='')}"

    def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        """Ask once, and again while the engine says that it is busy."""
        for left in reversed(range(TRIES)):
            try:
                return self._once(method, path, body)
            except RefusedError as error:
                pause = error.fault.get("retry_after", 0.0)
                if error.status != 503 or not left or not 0 < pause <= LONGEST_PAUSE:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: Json | None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - JuliaBox's own address, or the person's
            self.base + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Authorization": f"token {self.token}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                content = answer.read(LARGEST_ANSWER)
                return json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            raise RefusedError(error.code, read_fault(error)) from None


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the token is for the engine alone."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""


def read_fault(error: urllib.error.HTTPError) -> Json:
    """Return the fault in an answer, and when to ask again."""
    try:
        fault = json.loads(error.read(LARGEST_ANSWER))
    except (ValueError, OSError):
        fault = {}
    fault = fault if isinstance(fault, dict) else {}
    try:
        fault["retry_after"] = float(error.headers.get("Retry-After") or 0)
    except ValueError:
        fault["retry_after"] = 0.0
    return fault


# --- what is asked -------------------------------------------------------------------------------


def publish(engine: Engine, request: Json) -> list[Json]:
    """Save a version; options that are not given stay as they are."""
    path = engine.path(request["name"])
    body = {key: request[key] for key in ("source", "functions", "note", "activate")}
    if request["options"]:
        try:
            before = engine.ask("GET", path)["version"]["options"]
        except RefusedError as error:
            if error.status != 404:
                raise
            before = {}
        body["options"] = before | request["options"]
    detail = engine.ask("PUT", path, body)
    told = record(detail["summary"], detail["version"]["functions"])
    newest = detail["summary"]["newest"]
    kept = newest if newest != told["version"] else ""
    return [told | {"kept": kept, "unchanged": "yes" if detail.get("unchanged") else ""}]


def list_apis(engine: Engine, request: Json) -> list[Json]:
    """List the owner's APIs, or those that the owner may call."""
    shared = "?shared=1" if request["shared"] else ""
    return [record(one, []) for one in engine.ask("GET", f"apis{shared}")["apis"]]


def remove(engine: Engine, request: Json) -> list[Json]:
    """Remove an API."""
    engine.ask("DELETE", engine.path(request["name"]))
    return []


VERBS: dict[str, Callable[[Engine, Json], list[Json]]] = {
    "publish": publish,
    "list": list_apis,
    "remove": remove,
}

# --- what is told --------------------------------------------------------------------------------


def record(summary: Json, functions: list[Json]) -> Json:
    """Return what a notebook shows of an API."""
    path = summary["url"]
    url = own_host("api") + path
    return {
        "publisher": summary["publisher"],
        "name": summary["api"],
        "version": summary["active"],
        "access": summary["access"],
        "functions": " ".join(summary["functions"]),
        "stopped": summary.get("stopped", ""),
        "description": summary.get("description", ""),
        "url": url,
        "page": page(path),
        "calls": "\n".join(call for one in functions for call in calls(url, one)) or url,
    }


def own_host(service: str) -> str:
    """Return a service's own scheme and host, as JupyterHub names it; empty without subdomains."""
    scheme, _, host = os.environ.get("JUPYTERHUB_HOST", "").partition("://")
    return f"{scheme}://{service}--service.{host}" if host else ""


def page(path: str) -> str:
    """Return the address of the portal's page of an API, as a notebook in a browser can open it."""
    before, _, api = path.rpartition("services/api/")
    return f"{own_host('portal')}{before}services/portal/apis/{api.rstrip('/')}"


def calls(url: str, function: Json) -> list[str]:
    """Return the addresses of a function, one for each of its methods."""
    found = []
    for method in function.get("methods") or [{}]:
        parts = [f"{{{one['name']}}}" for one in method.get("arguments", [])]
        parts += ["…"] if method.get("more") else []
        keywords = "&".join(f"{one['name']}=…" for one in method.get("keywords", []))
        path = "/".join([function["name"], *parts])
        found.append(f"{url}{path}{'?' + keywords if keywords else ''}")
    return found


def explain(error: RefusedError, request: Json) -> str:
    """Return a refusal as text for a person, with the lines of their own code."""
    code = error.fault.get("code", "")
    lines = [f"{error} ({code})" if code else str(error)]
    source = request.get("source", "").split("\n")
    for frame in error.fault.get("frames") or []:
        line = int(frame["line"])
        text = source[line - 1].strip() if 0 < line <= len(source) else ""
        lines.append(f"  in {frame['function']}, line {line}: {text}")
    if printed := error.fault.get("output"):
        lines += ["It printed:", printed.rstrip()]
    if code in {"api.login", "api.publish"}:
        lines.append(ROLE)
    if code in {"api.body", "api.options"}:
        lines.append("?JuliaBox.publish tells what each option may be.")
    return "\n".join(lines)


def write(records: list[Json]) -> None:
    """Write records for Julia."""
    text = ""
    for one in records:
        for name, value in one.items():
            plain = str(value).translate({0: None, 0x1E: None})
            text += f"{name}\0{plain}\0"
        text += "\x1e"
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))


def main() -> int:
    """Do what is asked for; return the exit code."""
    request: Json = json.load(sys.stdin.buffer)
    try:
        write(VERBS[sys.argv[1]](Engine(dict(os.environ)), request))
    except RefusedError as error:
        print(explain(error, request))
    except urllib.error.URLError as error:  # the request never was with it as a whole
        print(AWAY.format(error.reason))
    except (OSError, http.client.HTTPException) as error:
        print(SILENT.format(error))
    except (ValueError, KeyError, TypeError) as error:
        print(f"The API engine's answer is not understood: {error!r}")
    except KeyboardInterrupt:
        print("It was interrupted; see JuliaBox.apis() for what came of it.")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
