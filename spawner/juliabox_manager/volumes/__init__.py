"""Home volumes: disk images of fixed size that the manager mounts into slots.

::

    STATE/volumes/home/<volume>/disk.img    sparse ext4 image
    STATE/volumes/home/<volume>/meta.json   owner, size, quarantine
    STATE/volumes/removed/<volume>-<time>/  put aside, deleted after the grace period
    STATE/mounts/<volume>                   the one mount of an image
    STATE/slots/<session>/juser             bound from it, once for each session

An image is locked (flock) as long as it is mounted. Nothing here ever opens a file *inside* a
home: what must be prepared there is done by the session's entry program as the person's own uid.
"""

from juliabox_manager.volumes.home import HomeVolumes
from juliabox_manager.volumes.names import volume_name

__all__ = ["HomeVolumes", "volume_name"]
