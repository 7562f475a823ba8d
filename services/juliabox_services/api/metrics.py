"""Figures of the engine's front for Prometheus, on a registry that the engine's back uses, too."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counters of calls by API, and of all requests by route."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = prometheus_client.Counter(
            "juliabox_api_answers",
            "Answers to calls that were admitted, by API and status.",
            ["publisher", "api", "status"],
            registry=self.registry,
        )
        self.seconds = prometheus_client.Histogram(
            "juliabox_api_answer_seconds",
            "Seconds from a call to its answer, waiting included, by API.",
            ["publisher", "api"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.requests = prometheus_client.Counter(
            "juliabox_api_requests",
            "Requests by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        prometheus_client.ProcessCollector(registry=self.registry)

    def answered(self, route: str, status: int) -> None:
        """Count a request."""
        self.requests.labels(route, str(status)).inc()

    def called(self, publisher: str, api: str, status: int, seconds: float) -> None:
        """Count a call of an API that exists."""
        self.answers.labels(publisher, api, str(status)).inc()
        self.seconds.labels(publisher, api).observe(seconds)
