"""Figures of calls and containers for Prometheus, on a registry that is handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily

#: Publisher and API, and how many of what it has.
Standing = tuple[tuple[str, str], int]

_CALL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_START_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 21, 34, 60)
_LABELS = ["publisher", "api"]


class _Now:
    """A figure of each API that is asked for when Prometheus asks."""

    def __init__(self, name: str, help_: str) -> None:
        self._about = name, help_
        self.count: Callable[[], Iterable[Standing]] = list

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(*self._about, labels=_LABELS)
        for labels, number in self.count():
            family.add_metric(list(labels), number)
        yield family


class ApiFigures:
    """Figures of one API, with its labels found already."""

    def __init__(self, of: EngineFigures, publisher: str, api: str) -> None:
        self._calls = of.calls
        self._labels = publisher, api
        self._seconds = of.call_seconds.labels(publisher, api)
        self._ok = of.calls.labels(publisher, api, "ok")

    def answered(self, outcome: str) -> None:
        """Count a call: ``ok``, or the code of its error."""
        if outcome == "ok":
            self._ok.inc()
        else:
            self._calls.labels(*self._labels, outcome).inc()

    def took(self, seconds: float) -> None:
        """Note the seconds from the sending of a call to its answer."""
        self._seconds.observe(seconds)


class EngineFigures:
    """Counters, and gauges that are asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "juliabox_api_calls",
            "Calls that were admitted, by outcome (ok, or an error's code).",
            [*_LABELS, "outcome"],
            registry=registry,
        )
        self.call_seconds = Histogram(
            "juliabox_api_call_seconds",
            "Seconds of a call on its worker.",
            _LABELS,
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self.starts = Counter(
            "juliabox_api_container_starts",
            "Containers that were asked for, by outcome (ok, or an error's code).",
            ["outcome"],
            registry=registry,
        )
        self.start_seconds = Histogram(
            "juliabox_api_container_start_seconds",
            "Seconds from the wish for a container to its first call.",
            buckets=_START_BUCKETS,
            registry=registry,
        )
        self.ends = Counter(
            "juliabox_api_container_ends",
            "Containers that have ended, by reason.",
            ["reason"],
            registry=registry,
        )
        self._containers = _Now("juliabox_api_containers", "Containers of an API.")
        self._outstanding = _Now("juliabox_api_outstanding", "Calls that wait or run.")
        registry.register(self._containers)
        registry.register(self._outstanding)
        self._apis: dict[tuple[str, str], ApiFigures] = {}

    def watch(
        self,
        containers: Callable[[], Iterable[Standing]],
        outstanding: Callable[[], Iterable[Standing]],
    ) -> None:
        """Let these answer how many containers and calls each API has; they must not block."""
        self._containers.count, self._outstanding.count = containers, outstanding

    def of(self, publisher: str, api: str) -> ApiFigures:
        """Return the figures of an API."""
        found = self._apis.get((publisher, api))
        if found is None:
            found = self._apis[publisher, api] = ApiFigures(self, publisher, api)
        return found
