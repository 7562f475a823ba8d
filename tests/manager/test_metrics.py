"""Figures and health over HTTP, from the loop of the manager."""

from __future__ import annotations

import httpx
import pytest

from juliabox_manager.metrics import Metrics, MetricsEndpoint


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


async def test_figures_are_served_for_prometheus(metrics: Metrics) -> None:
    metrics.requests.labels("session.create", "hub", "ok").inc()
    metrics.watch_sessions(lambda: {"running": 3, "ended": 1})
    endpoint = MetricsEndpoint(metrics, dict)
    endpoint.listen("127.0.0.1", 0)
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{endpoint.port}/metrics")
    await endpoint.close()
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'juliabox_sessions{state="running"} 3.0' in answer.text
    assert 'outcome="ok",verb="session.create"} 1.0' in answer.text


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_health_is_bad_while_one_check_is(metrics: Metrics, ready: bool, status: int) -> None:
    endpoint = MetricsEndpoint(metrics, lambda: {"admitting": True, "ready": ready})
    endpoint.listen("127.0.0.1", 0)
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{endpoint.port}/healthz")
    await endpoint.close()
    assert answer.status_code == status
    assert answer.json() == {"healthy": ready, "checks": {"admitting": True, "ready": ready}}
