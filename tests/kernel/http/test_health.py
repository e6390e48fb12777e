"""What a load balancer and a monitoring system ask."""

import pytest

from freehold.kernel.errors import FreeholdError, Unavailable
from freehold.kernel.http import Edge, Request, Response, Router, json
from freehold.kernel.http.health import add_health_routes
from freehold.kernel.metrics import Metrics
from tests.support.asgi import ask


class Store:
    is_open = True

    async def ready(self) -> None:
        if not self.is_open:
            raise Unavailable("The database does not answer")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def edge(store: Store) -> Edge:
    async def no_tenant(_host: str) -> None:
        return None

    def render(error: FreeholdError, _request: Request) -> Response:
        return json({"error": error.code}, error.status)

    router, metrics = Router(), Metrics()
    add_health_routes(router, ready=store.ready, metrics=metrics, metrics_networks=["127.0.0.0/8", "::1/128"])
    return Edge(router, resolve_tenant=no_tenant, errors={"page": render}, observe=metrics.observe_request)


async def test_health_and_readiness_are_different_questions(edge: Edge, store: Store) -> None:
    assert (await ask(edge, "GET", "/ready", host="10.0.0.7")).status == 200

    store.is_open = False

    assert (await ask(edge, "GET", "/ready", host="10.0.0.7")).status == 503
    assert (await ask(edge, "GET", "/health", host="10.0.0.7")).json() == {"status": "ok"}


async def test_metrics_are_shown_to_the_configured_networks_only(edge: Edge) -> None:
    await ask(edge, "GET", "/health")

    for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        reply = await ask(edge, "GET", "/metrics", peer=peer)
        assert reply.status == 200
        assert b'freehold_http_request_seconds_count{route="operation.health",status="200"} 1.0' in reply.body

    for peer in ("192.0.2.7", "", "unix"):
        headers = [("x-forwarded-for", "127.0.0.1")]
        assert (await ask(edge, "GET", "/metrics", peer=peer, headers=headers)).status == 404
