"""Figures of the portal for Prometheus, and its health, on the control network alone."""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client
import tornado.web
from prometheus_client import CollectorRegistry


class Metrics:
    """Counters on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = prometheus_client.Counter(
            "juliabox_portal_requests",
            "Requests by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = prometheus_client.Histogram(
            "juliabox_portal_request_seconds",
            "Seconds of a request, by route.",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=self.registry,
        )
        self.lag = prometheus_client.Gauge(
            "juliabox_portal_recorder_lag_seconds",
            "Seconds since the recorder last heard the manager and had written all it knew.",
            registry=self.registry,
        )
        self.waiting = prometheus_client.Gauge(
            "juliabox_portal_recorder_waiting",
            "Rows of usage and failures that wait for the database.",
            registry=self.registry,
        )
        prometheus_client.ProcessCollector(registry=self.registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)


class _Figures(tornado.web.RequestHandler):
    def initialize(self, metrics: Metrics, refresh: Callable[[], None]) -> None:
        self.metrics = metrics
        self.refresh = refresh

    def get(self) -> None:
        self.refresh()
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_LATEST)
        self.finish(prometheus_client.generate_latest(self.metrics.registry))


class _Health(tornado.web.RequestHandler):
    def get(self) -> None:
        self.finish("ok\n")


def control_application(metrics: Metrics, refresh: Callable[[], None]) -> tornado.web.Application:
    """Return what is served on the control network: ``/metrics`` and ``/healthz``."""
    return tornado.web.Application(
        [(r"/metrics", _Figures, {"metrics": metrics, "refresh": refresh}), (r"/healthz", _Health)],
        log_function=lambda _: None,
    )
