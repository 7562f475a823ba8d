"""CURVE keys: made, kept in files of mode 0600, and loaded.

A key file holds one line, the secret key in z85; the public key is derived from it and never
stored, so that the two cannot disagree.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.utils import z85

from juliabox_ext.errors import ConfigurationError

_Z85_LENGTH = 40


class KeyPair(NamedTuple):
    """A CURVE key pair in z85; the secret half is kept out of ``repr``."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r})"


def public_key(secret: str) -> str:
    """Derive the public key of a z85 secret key; raise ``ConfigurationError`` if it is not one."""
    try:
        if len(secret) != _Z85_LENGTH:
            raise ValueError
        return zmq.curve_public(secret.encode("ascii")).decode("ascii")
    except (ValueError, UnicodeError, zmq.ZMQError):
        # the key itself must never reach a message
        raise ConfigurationError("a CURVE secret key must be 40 characters of z85") from None


def check_public_key(name: str, public: str) -> None:
    """Raise ``ConfigurationError`` that names the client if its public key is not z85."""
    try:
        if len(public) != _Z85_LENGTH:
            raise ValueError
        z85.decode(public.encode("ascii"))
    except (ValueError, KeyError, UnicodeError):
        message = f"public key of client {name!r} must be 40 characters of z85"
        raise ConfigurationError(message) from None


def make_key(path: Path) -> KeyPair:
    """Make a key pair and keep its secret half in a new file of mode 0600.

    Raises ``FileExistsError`` rather than replace a key that others may trust.
    """
    public, secret = (half.decode("ascii") for half in zmq.curve_keypair())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    return KeyPair(public, secret)


def load_key(path: Path) -> KeyPair:
    """Load a key pair; raise ``ConfigurationError`` if the file is missing, open or no key."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read(1024).strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"key file {path} cannot be read: {error}") from None
    if mode & 0o077:
        raise ConfigurationError(f"key file {path} is open to others: run chmod 600 on it")
    try:
        return KeyPair(public_key(secret), secret)
    except ConfigurationError as error:
        raise ConfigurationError(f"key file {path}: {error.message}") from None


def load_or_make_key(path: Path) -> KeyPair:
    """Load the key pair of a file, which is made when it does not exist."""
    try:
        return make_key(path)
    except FileExistsError:
        return load_key(path)
