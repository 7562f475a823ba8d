"""OpenID Connect for the log-ins ``oidc`` and ``linkedin``.

oauthenticator reads what a provider tells; here it is verified as OpenID Connect Core 1.0 demands:
signature, issuer, audience and age of the ID token, that it answers this log-in (its nonce), and
that token and user information speak of the same person.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlsplit

import jwt
from oauthenticator.generic import GenericOAuthenticator
from traitlets import Bool, Unicode

from juliabox_ext.errors import UnavailableError
from juliabox_plugins.login_rules import ProviderRules, StartPage

#: Signatures that are accepted: with a key pair, never with a shared secret or none.
ALGORITHMS = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip

#: Seconds that the provider's addresses and keys are kept, and by which clocks may differ.
DOCUMENT_LIFE = 3600.0
LEEWAY = 60

#: Seconds after which keys are asked for again when a token names one that is not known.
KEY_PAUSE = 10.0


def nonce_of(verifier: str) -> str:
    """Return the nonce of a log-in under way: made from what only this browser's cookie has."""
    return hashlib.sha256(b"nonce:" + verifier.encode()).hexdigest()


class OpenidStartPage(StartPage):
    """Sends the nonce along."""

    _nonce = ""

    def _generate_pkce_params(self) -> tuple[str, str]:
        verifier, challenge = super()._generate_pkce_params()
        self._nonce = nonce_of(verifier)
        return verifier, challenge

    def authorize_redirect(self, **kwargs: Any) -> None:
        """Send the browser to the provider, with the nonce."""
        if self._nonce:
            kwargs["extra_params"] = {**kwargs["extra_params"], "nonce": self._nonce}
        super().authorize_redirect(**kwargs)


class OpenidAuthenticator(ProviderRules, GenericOAuthenticator):  # type: ignore[misc]
    """oauthenticator's generic class, which believes nothing that is not verified."""

    login_handler = OpenidStartPage

    issuer = Unicode(
        config=True,
        help="""The provider, exactly as its ID tokens name it.

        Addresses that are not given are read from its discovery document at the first log-in.
        """,
    )
    jwks_url = Unicode(
        config=True,
        help="""Where the provider's keys are.

        Read from the discovery document if empty.
        """,
    )
    insecure_http = Bool(
        False,
        config=True,
        help="""Whether a discovery document may name addresses without HTTPS.

        Always so for an issuer that is itself without.
        """,
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._discovery = asyncio.Lock()
        self._read_at: float | None = None
        self._keys: jwt.PyJWKSet | None = None
        self._keys_at = 0.0
        self._given = {
            name: getattr(self, name)
            for name in ("authorize_url", "token_url", "userdata_url", "jwks_url")
        }

    async def prepare(self) -> None:
        """Read the discovery document unless that was done within the hour, or all is given."""
        if all(self._given.values()):
            return
        async with self._discovery:
            now = time.monotonic()
            if self._read_at is not None and now - self._read_at < DOCUMENT_LIFE:
                return
            url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
            self._take(await self._json(url, "reading the discovery document"))
            self._read_at = now

    def _take(self, document: dict[str, Any]) -> None:
        if str(document.get("issuer", "")).rstrip("/") != self.issuer.rstrip("/"):
            raise self._lie(f"the discovery document is of issuer {document.get('issuer')!r}")
        places = {
            "authorize_url": "authorization_endpoint",
            "token_url": "token_endpoint",
            "userdata_url": "userinfo_endpoint",
            "jwks_url": "jwks_uri",
        }
        found = {}
        for trait, key in places.items():
            url = self._given[trait] or document.get(key, "")
            needed = trait != "userdata_url"
            if not isinstance(url, str) or (needed and not url):
                raise self._lie(f"the discovery document has no {key}")
            if url and not self._safe(url):
                raise self._lie(f"{key} is not safe: {url!r}")
            found[trait] = url
        for trait, url in found.items():
            setattr(self, trait, url)

    def _safe(self, url: str) -> bool:
        parts = urlsplit(url)
        plain = self.insecure_http or urlsplit(self.issuer).scheme == "http"
        return bool(parts.hostname) and parts.scheme in ("https", *(["http"] if plain else []))

    def _lie(self, reason: str) -> UnavailableError:
        self.log.error("%s lies: %s", self.issuer, reason)
        return self._away()

    async def get_token_info(self, handler: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Return what the provider gives for the code, with the verified claims."""
        found = await super().get_token_info(handler, params)
        verifier = params.get("code_verifier", "")
        first = params.get("grant_type") == "authorization_code"
        if first or "id_token" in found:
            nonce = nonce_of(verifier) if verifier else ""
            found["claims"] = await self.verified(found.get("id_token"), nonce)
        return found

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Return the claims of the ID token and what the provider tells besides."""
        claims: dict[str, Any] = token_info.get("claims") or {}
        if not self.userdata_url:
            return dict(claims)
        told = await super().token_to_user(token_info)
        if claims and told.get("sub") != claims["sub"]:
            raise self._lie("user information is of somebody else than the ID token")
        return {**claims, **told}

    async def verified(self, token: object, nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token; raise ``UnavailableError`` if it cannot be believed."""
        if not isinstance(token, str):
            raise self._lie("there is no ID token")
        try:
            header = jwt.get_unverified_header(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                await self._key(header.get("kid")),
                algorithms=ALGORITHMS,
                audience=self.client_id,
                issuer=[self.issuer, self.issuer.rstrip("/"), f"{self.issuer.rstrip('/')}/"],
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise self._lie(f"the ID token: {type(error).__name__}: {error}") from error
        if nonce and not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise self._lie("the ID token answers another log-in")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if several and claims.get("azp") != self.client_id:
            raise self._lie("the ID token was made for somebody else")
        return claims

    async def _key(self, identifier: object) -> jwt.PyJWK:
        """Return the provider's key; ask for the keys again if this one is not known."""
        now = time.monotonic()
        stale = now - self._keys_at > DOCUMENT_LIFE
        known = None if self._keys is None or stale else _pick(self._keys, identifier)
        if known is None and (self._keys is None or now - self._keys_at > KEY_PAUSE):
            document = await self._json(self.jwks_url, "reading the provider's keys")
            self._keys, self._keys_at = jwt.PyJWKSet.from_dict(document), now
            known = _pick(self._keys, identifier)
        if known is None:
            raise jwt.InvalidKeyError(f"the provider has no key {identifier!r}")
        return known


def _pick(keys: jwt.PyJWKSet, identifier: object) -> jwt.PyJWK | None:
    usable = [key for key in keys.keys if key.public_key_use in (None, "sig")]
    if identifier is None:
        return usable[0] if len(usable) == 1 else None
    return next((key for key in usable if key.key_id == identifier), None)
