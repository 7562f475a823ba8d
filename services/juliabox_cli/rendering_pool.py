"""From ``config.yaml`` to the sizes of the pools of warm containers."""

from __future__ import annotations

import os

from juliabox_cli.config import SESSION_IMAGE, Config
from juliabox_manager.settings import PoolSettings

#: Most memory of warm containers unless the file says otherwise, and what it is a multiple of.
_MOST_SPARE = 2 * 1024**3
_MEMORY_STEP = 128 * 1024**2


def pool_settings(config: Config) -> PoolSettings:
    """Return the sizes of the pools, and what they may hold."""
    pool = config.pool
    own = {
        profile.image or SESSION_IMAGE: profile.pool
        for profile in config.profiles
        if profile.pool is not None
    }
    return PoolSettings(
        rule=pool.rule,
        size=pool.size,
        maximum=pool.maximum,
        memory=spare_memory() if pool.memory == "auto" else pool.memory,
        kernel=pool.kernel,
        sizes=own if pool.size else {},
    )


def spare_memory() -> int:
    """Return what warm containers may hold on this machine: a quarter of it, and 2 GiB at most.

    In whole steps, so that a few bytes more or less after a restart of the machine change nothing.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(_MEMORY_STEP, min(_MOST_SPARE, machine // 4 // _MEMORY_STEP * _MEMORY_STEP))
