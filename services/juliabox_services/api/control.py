"""What is served on the control network alone: ``/metrics`` and ``/healthz``."""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client
import tornado.web
from prometheus_client import CollectorRegistry


class _Figures(tornado.web.RequestHandler):
    def initialize(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def get(self) -> None:
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_LATEST)
        self.finish(prometheus_client.generate_latest(self.registry))


class _Health(tornado.web.RequestHandler):
    def initialize(self, ready: Callable[[], str]) -> None:
        self.ready = ready

    def get(self) -> None:
        lacking = self.ready()
        if lacking:
            self.set_status(503)
        self.finish(f"{lacking or 'ok'}\n")


def control_application(
    registry: CollectorRegistry, ready: Callable[[], str]
) -> tornado.web.Application:
    """Return the application; ``ready`` tells what the engine lacks to answer calls, or nothing."""
    return tornado.web.Application(
        [
            (r"/metrics", _Figures, {"registry": registry}),
            (r"/healthz", _Health, {"ready": ready}),
        ],
        log_function=lambda _: None,
    )
