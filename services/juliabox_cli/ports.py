"""Ports of the parts, each on its own address."""

from __future__ import annotations

MANAGER_PORT = 9500
METRICS_PORT = 9501
HUB_PORT = 8081
PROXY_API_PORT = 8001
PROXY_PORT = 8000
PORTAL_PORT = 8090
PORTAL_METRICS_PORT = 8091
API_PORT = 8092
API_METRICS_PORT = 8093
