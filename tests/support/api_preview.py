"""The engine's answers behind the portal's pages of published APIs, in the preview."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec

from juliabox_services.portal.models import Tokens
from juliabox_services.portal.models_apis import Tried
from juliabox_services.portal.trying import make_call
from support import api_samples as samples
from support import portal_samples

MADE = {"token": "jbx-of-this-api-alone", "id": "a77", "expires": None}
DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg"
    "=="
)


def tried(function: str, given: dict[str, Any]) -> Tried:
    """Return the answer to a test call: of ``fib`` a number or a fault, of others a picture."""
    made = make_call(function, given["arguments"], given["keywords"])
    told = {"seconds": 0.0123, "request": "5e" * 16, "method": made.method, "address": made.path}
    body = made.body or ""
    if function == "halves":
        data = base64.b64encode(base64.b64decode(DOT)).decode()
        return Tried(status=200, type="image/png", data=data, body=body, **told)
    if given["arguments"][:1] == ["-1"]:
        fault = {
            "code": "api.error",
            "message": "DomainError with -1:\nn must be within 0 and 10000",
            "frames": [{"function": "fib", "line": 7}],
        }
        return Tried(status=500, type="application/json", text=json.dumps(fault), body=body, **told)
    return Tried(status=200, type="application/json", text="832040", body=body, **told)


def engine_view(base: Any) -> Any:
    """Return the handler of everything below ``api/apis/``, on top of the preview's own."""

    class EngineView(base):  # type: ignore[misc]  # a class that is handed over
        """What the engine would answer."""

        def get(self, path: str) -> None:
            """Answer what a tab asks for."""
            self.check_xsrf_cookie()
            self.state.fetched[path] = self.state.fetched.get(path, 0) + 1
            if self.state.fault:
                status, code, message = self.state.fault
                self.answer({"code": code, "message": message}, status)
                return
            after = int(self.get_argument("after", "0"))
            hours = int(self.get_argument("hours", "24"))
            number = int(path.rpartition("/")[2]) if "/versions/" in path else 3
            answers = {
                "log": {"lines": [one for one in samples.log_lines() if one.number > after]},
                "stats": samples.stats(hours),
                "tokens": Tokens(tokens=portal_samples.tokens().tokens[:1]),
                "openapi.json": {"openapi": "3.1.0"},
            }
            source = samples.SOURCE if number == 3 else samples.BEFORE
            other = samples.version(number, source, timeout=None if number == 3 else 5.0)
            last = path.rpartition("/")[2]
            value = other if "/versions/" in path else answers.get(last, self.state.api)
            self.answer(value)

        def change(self, path: str) -> None:
            """Remember the request; answer what its tab expects."""
            self.check_xsrf_cookie()
            body = json.loads(self.request.body or b"null")
            token = self.request.headers.get("X-XSRFToken", "")
            self.state.changes.append((self.request.method or "", f"api/apis/{path}", body, token))
            first, _, last = path.rpartition("/")
            if self.state.refused is not None:
                self.answer(self.state.refused[1], self.state.refused[0])
            elif first.endswith("/try"):
                self.answer(tried(last, body))
            elif last in ("stop", "start"):
                stopped = "owner" if last == "stop" else ""
                publisher = self.state.api.changes
                self.state.api = samples.api_page(stopped=stopped, publisher=publisher)
                self.answer(self.state.api)
            elif self.request.method == "PUT":
                known = self.state.api.detail
                if self.state.unchanged and known is not None:
                    self.answer(msgspec.to_builtins(known) | {"unchanged": True})
                    return
                stopped = known.summary.stopped if known is not None else ""
                self.state.api = samples.api_page(newest=4, active=4, stopped=stopped)
                self.answer(msgspec.to_builtins(self.state.api.detail))
            elif self.request.method == "DELETE":
                self.set_status(204)
                self.finish()
            else:
                answers = {"check": self.state.checked, "tokens": MADE, "activate": self.state.api}
                self.answer(answers.get(last))

        post = put = delete = change

    return EngineView
