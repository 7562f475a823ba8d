"""What volume plugins are made of that mount disks of the host into slots.

A kind (:mod:`~juliabox_manager.volumes.kind`) has volumes
(:mod:`~juliabox_manager.volumes.volume`), each mounted once below the state folder and bound into
the slot of each session of its owner. The built-in plugins ``home`` and ``hostdir`` are kinds.
"""

from juliabox_manager.volumes.names import volume_name

__all__ = ["volume_name"]
