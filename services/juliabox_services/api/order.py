"""What a container is made for, and what makes it."""

from __future__ import annotations

import zmq
from msgspec import Struct

from juliabox_manager import protocol as p
from juliabox_manager.keys import KeyPair
from juliabox_services.api.machine import Machine
from juliabox_services.api.starts import Starts


class Order(Struct, frozen=True, kw_only=True):
    """What a container is made for."""

    publisher: str
    api: str
    #: 0 for a source that is looked at only.
    version: int
    source: str
    functions: list[str]
    limits: p.Limits
    workers: int = 1
    recycle_calls: int = 0


class Site(Struct, frozen=True, kw_only=True):
    """Where containers are made, and what all of them are told."""

    machine: Machine
    context: zmq.Context[zmq.Socket[bytes]]
    #: The engine's own, new with each of its starts.
    keys: KeyPair
    result_bytes: int
    load_seconds: float
    starts: Starts
