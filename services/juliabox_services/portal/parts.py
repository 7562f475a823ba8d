"""The parts that pages are made from."""

from __future__ import annotations

from dataclasses import dataclass

from juliabox_services.portal.engine import Engine
from juliabox_services.portal.hub import Hub, Shared
from juliabox_services.portal.manager import Instance
from juliabox_services.portal.messages import Messages
from juliabox_services.portal.plugins import Plugins
from juliabox_services.portal.recorder import Recorder
from juliabox_services.portal.records import Keeper
from juliabox_services.portal.servers import Servers
from juliabox_services.portal.sessions_http import SessionClient
from juliabox_services.portal.settings import PortalSettings


@dataclass(frozen=True)
class Parts:
    """One portal's parts; a handler finds them as ``self.parts``."""

    settings: PortalSettings
    hub: Hub
    engine: Engine
    instance: Instance
    servers: Servers
    session_client: SessionClient
    plugins: Plugins
    keeper: Keeper
    recorder: Recorder
    messages: Messages
    #: Figures that are dear and the same for all admins.
    figures: Shared
