"""Figures of the manager for Prometheus, and the endpoint that serves them.

``METRICS`` is the one registry object; modules of the manager count on it. ``/healthz`` answers
200 while the manager admits requests and its first reconcile is done, else 503.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping

import prometheus_client
import tornado.httpserver
import tornado.netutil
import tornado.web
from prometheus_client.core import GaugeMetricFamily

_START_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 21, 34, 60, 120)


class _StateGauge:
    """Ask for numbers by state, of sessions, API containers or warm ones, when Prometheus does."""

    def __init__(self, name: str, help_: str) -> None:
        self.count: Callable[[], Mapping[str, int]] = dict
        self._about = name, help_

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(*self._about, labels=["state"])
        for state, number in sorted(self.count().items()):
            family.add_metric([state], number)
        yield family


class Metrics:
    """Counters and histograms on a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self.requests = prometheus_client.Counter(
            "juliabox_manager_requests",
            "Requests by verb, client and outcome (ok, or an error's family).",
            ["verb", "client", "outcome"],
            registry=self.registry,
        )
        self.request_seconds = prometheus_client.Histogram(
            "juliabox_manager_request_seconds",
            "Seconds from arrival to answer, by verb.",
            ["verb"],
            buckets=_START_BUCKETS,
            registry=self.registry,
        )
        self.refusals = prometheus_client.Counter(
            "juliabox_manager_refusals",
            "Messages refused before any verb ran, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.start_seconds = prometheus_client.Histogram(
            "juliabox_session_start_seconds",
            "Seconds of a session's start, by stage.",
            ["stage"],
            buckets=_START_BUCKETS,
            registry=self.registry,
        )
        self.session_ends = prometheus_client.Counter(
            "juliabox_session_ends", "Ended sessions by reason.", ["reason"], registry=self.registry
        )
        self.api_start_seconds = prometheus_client.Histogram(
            "juliabox_manager_api_start_seconds",
            "Seconds of an API container's start, by stage.",
            ["stage"],
            buckets=_START_BUCKETS,
            registry=self.registry,
        )
        self.api_ends = prometheus_client.Counter(
            "juliabox_manager_api_ends",
            "Ended API containers by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.reconcile_seconds = prometheus_client.Histogram(
            "juliabox_manager_reconcile_seconds",
            "Seconds of one reconcile.",
            buckets=_START_BUCKETS,
            registry=self.registry,
        )
        self.reconcile_repairs = prometheus_client.Counter(
            "juliabox_manager_reconcile_repairs",
            "Differences that reconcile adopted or removed, by kind.",
            ["kind"],
            registry=self.registry,
        )
        self.policy_repairs = prometheus_client.Counter(
            "juliabox_network_policy_repairs",
            "Times that a session's network policy was missing or changed and was set again.",
            registry=self.registry,
        )
        self.pool_claims = prometheus_client.Counter(
            "juliabox_pool_claims",
            "Sessions that a pool was asked for, by outcome.",
            ["image", "outcome"],
            registry=self.registry,
        )
        self.pool_refill_seconds = prometheus_client.Histogram(
            "juliabox_pool_refill_seconds",
            "Seconds until a warm container was ready.",
            buckets=_START_BUCKETS,
            registry=self.registry,
        )
        self.pool_failures = prometheus_client.Counter(
            "juliabox_pool_failures",
            "Warm containers that could not be made, died, or did not become their session.",
            ["image"],
            registry=self.registry,
        )
        self.task_runs = prometheus_client.Counter(
            "juliabox_task_runs",
            "Ended runs of tasks by outcome.",
            ["task", "outcome"],
            registry=self.registry,
        )
        self.task_seconds = prometheus_client.Histogram(
            "juliabox_task_seconds",
            "Seconds of a task's run.",
            ["task"],
            buckets=_START_BUCKETS,
            registry=self.registry,
        )
        self.task_success = prometheus_client.Gauge(
            "juliabox_task_last_success_timestamp_seconds",
            "Unix time at which a task last ended well.",
            ["task"],
            registry=self.registry,
        )
        self.task_faults = prometheus_client.Gauge(
            "juliabox_task_faults",
            "1 for each enabled task that cannot be loaded.",
            ["task", "distribution", "code"],
            registry=self.registry,
        )
        self._sessions = _StateGauge("juliabox_sessions", "Sessions by state.")
        self.registry.register(self._sessions)
        self._apis = _StateGauge("juliabox_manager_api_containers", "API containers by state.")
        self.registry.register(self._apis)
        self._warm = _StateGauge("juliabox_pool_containers", "Warm containers by state.")
        self.registry.register(self._warm)
        prometheus_client.ProcessCollector(registry=self.registry)

    def watch_sessions(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Let ``count`` answer the number of sessions by state; it must not block."""
        self._sessions.count = count

    def watch_apis(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Let ``count`` answer the number of API containers by state; it must not block."""
        self._apis.count = count

    def watch_pool(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Let ``count`` answer the number of warm containers by state; it must not block."""
        self._warm.count = count

    def render(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return prometheus_client.generate_latest(self.registry)


METRICS = Metrics()


class _MetricsPage(tornado.web.RequestHandler):
    def initialize(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def get(self) -> None:
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_LATEST)
        self.finish(self.metrics.render())


class _HealthPage(tornado.web.RequestHandler):
    def initialize(self, healthy: Callable[[], Mapping[str, bool]]) -> None:
        self.healthy = healthy

    def get(self) -> None:
        checks = dict(self.healthy())
        self.set_status(200 if all(checks.values()) else 503)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"healthy": all(checks.values()), "checks": checks}))


class MetricsEndpoint:
    """Serve ``/metrics`` and ``/healthz`` from the running event loop."""

    def __init__(self, metrics: Metrics, healthy: Callable[[], Mapping[str, bool]]) -> None:
        application = tornado.web.Application(
            [
                (r"/metrics", _MetricsPage, {"metrics": metrics}),
                (r"/healthz", _HealthPage, {"healthy": healthy}),
            ]
        )
        self._server = tornado.httpserver.HTTPServer(
            application, max_body_size=1024, max_header_size=8192, idle_connection_timeout=30
        )
        self.port = 0

    def listen(self, address: str, port: int) -> None:
        """Bind and serve; raises ``OSError`` when the address is taken."""
        sockets = tornado.netutil.bind_sockets(port, address)
        self.port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)

    async def close(self) -> None:
        """Stop listening and end the connections, within two seconds."""
        self._server.stop()
        try:
            async with asyncio.timeout(2):
                await self._server.close_all_connections()
        except TimeoutError:
            return
