"""Providers that people log in at: a real OpenID provider, and imitations that can lie and fail."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import werkzeug.serving
from cryptography.hazmat.primitives.asymmetric import rsa

from support.ports import free_port

with warnings.catch_warnings():
    # of its own libraries; pytest looks at each import anew
    warnings.simplefilter("ignore")
    from oidc_provider_mock import app


@contextlib.contextmanager
def openid_provider(host: str = "127.0.0.1") -> Iterator[str]:
    """Run a real OpenID provider and yield its address; people are whoever types a subject."""
    server = werkzeug.serving.make_server(host, free_port(), app(require_nonce=True), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


class Imitation:
    """A provider that lets the same person in each time, in the formats of several.

    ``answers`` replaces what a path answers: a value for JSON, bytes for a raw body, a number for
    a status, a function of the form for anything else. ``delays`` are seconds for a path.
    """

    def __init__(self, issuer_path: str = "") -> None:
        self.answers: dict[str, Any] = {}
        self.delays: dict[str, float] = {}
        self.user: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.asked: list[str] = []
        self.forms: list[dict[str, str]] = []
        self._nonces: dict[str, str] = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signing_key: Any = self.key
        self.algorithm = "RS256"
        handler = type("Handler", (_Handler,), {"provider": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Imitation:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def become(self, **user: Any) -> None:
        """Tell the truth again, about this person."""
        self.answers.clear()
        self.delays.clear()
        self.claims.clear()
        self.signing_key, self.algorithm = self.key, "RS256"
        self.user = user

    def authorize(self, query: dict[str, str]) -> str:
        """Return where the browser is sent back to, at once."""
        code = secrets.token_hex(8)
        self._nonces[code] = query.get("nonce", "")
        back = {"code": code, "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        """Return the tokens for a code."""
        self.forms.append(form)
        nonce = self._nonces.pop(form["code"], "")
        return {
            "access_token": "canary-access-token",
            "token_type": "bearer",
            "scope": "user:email",
            "id_token": self.id_token(nonce, form.get("client_id", "box")),
        }

    def id_token(self, nonce: str, client: str) -> str:
        """Return a signed ID token with the claims as they are now."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": self.user.get("sub", "s"),
            "aud": client,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.claims,
        }
        kept = {key: value for key, value in claims.items() if value is not None}
        return jwt.encode(kept, self.signing_key, self.algorithm, headers={"kid": "one"})

    def keys(self) -> dict[str, Any]:
        """Return the public key."""
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**key, "kid": "one", "use": "sig", "alg": "RS256"}]}

    def discovery(self) -> dict[str, Any]:
        """Return the discovery document."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
        }

    def answer(self, path: str, form: dict[str, str]) -> Any:
        """Return what a path answers."""
        time.sleep(self.delays.get(path, 0))
        if path in self.answers:
            found = self.answers[path]
            return found(form) if callable(found) else found
        if path in ("/token", "/login/oauth/access_token"):
            return self.token(form)
        if path == "/keys":
            return self.keys()
        if path == "/.well-known/openid-configuration":
            return self.discovery()
        if path.endswith("/emails"):
            return self.user["emails"]
        return {key: value for key, value in self.user.items() if key != "emails"}


class _Handler(BaseHTTPRequestHandler):
    provider: Imitation

    def do_GET(self) -> None:
        """Answer."""
        parts = urlsplit(self.path)
        self.provider.asked.append(parts.path)
        if parts.path.endswith("/authorize"):
            query = dict(parse_qsl(parts.query))
            self.send_response(302)
            self.send_header("Location", self.provider.authorize(query))
            self.end_headers()
            return
        self._answer(parts.path, {})

    def do_POST(self) -> None:
        """Answer a form."""
        self.provider.asked.append(self.path)
        length = int(self.headers.get("Content-Length", 0))
        body = parse_qs(self.rfile.read(length).decode())
        self._answer(self.path, {key: values[0] for key, values in body.items()})

    def _answer(self, path: str, form: dict[str, str]) -> None:
        found = self.provider.answer(path, form)
        status = found if isinstance(found, int) else 200
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""
