"""Secrets of an installation: made once, each readable by its holder alone, never printed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import zmq

from juliabox_cli.atomic_files import write_bytes
from juliabox_cli.config import Config
from juliabox_cli.state import CONTROL_UID, State
from juliabox_ext.errors import ConfigurationError
from juliabox_manager.keys import load_key

#: Letters and digits that are not mistaken for each other when typed from a screen.
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def ensure_secrets(state: State) -> None:
    """Make what is missing, mend modes and owners, and keep every secret that exists."""
    folder = state.secrets
    _once(folder / "manager" / "curve.key", _curve_key, None)
    _once(folder / "operator" / "manager.key", _curve_key, None)
    _once(folder / "hub" / "manager.key", _curve_key, CONTROL_UID)
    _once(folder / "hub" / "cookie_secret", _token, CONTROL_UID)
    _once(folder / "hub" / "admin_password", _password, CONTROL_UID)
    _once(folder / "portal" / "manager.key", _curve_key, CONTROL_UID)
    _once(folder / "portal" / "cookie_secret", _token, CONTROL_UID)
    portal_token = _once(folder / "portal" / "api_token", _token, CONTROL_UID)
    _copy(folder / "hub" / "portal_token", portal_token, CONTROL_UID)
    _once(folder / "api" / "manager.key", _curve_key, CONTROL_UID)
    _once(folder / "api" / "cookie_secret", _token, CONTROL_UID)
    api_token = _once(folder / "api" / "api_token", _token, CONTROL_UID)
    _copy(folder / "hub" / "api_token", api_token, CONTROL_UID)
    hub_token = _once(folder / "operator" / "hub_token", _token, None)
    _copy(folder / "hub" / "operator_token", hub_token, CONTROL_UID)
    for name in ("proxy_token", "routes_token"):
        token = _once(folder / "hub" / name, _token, CONTROL_UID)
        _copy(folder / "proxy" / name, token, CONTROL_UID)


def install_certificate(state: State, config: Config) -> None:
    """Copy the operator's certificate and key to where the proxy reads them, or remove them.

    The portal gets the certificate, too: by it alone it knows the proxy when it asks a session.
    """
    folder, known = state.secrets / "proxy", state.secrets / "portal" / "tls.crt"
    if not config.https_on:
        known.unlink(missing_ok=True)
        for name in ("tls.crt", "tls.key"):
            (folder / name).unlink(missing_ok=True)
        return
    for name, key, path in (
        ("tls.crt", "certificate", config.https.certificate),
        ("tls.key", "key", config.https.key),
    ):
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"https.{key}: {path}: {error.strerror}") from None
        if b"-----BEGIN " not in content:
            raise ConfigurationError(f"https.{key}: {path} is not a PEM file")
        _copy(folder / name, content, CONTROL_UID)
    _copy(known, (folder / "tls.crt").read_bytes(), CONTROL_UID)


def public_key(path: Path) -> str:
    """Return the CURVE public key (z85) that belongs to a secret key file."""
    return load_key(path).public


def _once(path: Path, make: Callable[[], bytes], owner: int | None) -> bytes:
    if not path.is_file() or not path.read_bytes().strip():
        write_bytes(path, make(), mode=0o600, owner=owner)
    else:
        write_bytes(path, path.read_bytes(), mode=0o600, owner=owner)
    return path.read_bytes()


def _copy(path: Path, content: bytes, owner: int | None) -> None:
    write_bytes(path, content, mode=0o600, owner=owner)


def _token() -> bytes:
    return secrets.token_hex(32).encode()


def _password() -> bytes:
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups).encode()


def _curve_key() -> bytes:
    return bytes(zmq.curve_keypair()[1])
