"""What a load balancer and a monitoring system ask, on any host name: `/health`, `/ready` and `/metrics`."""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network

from freehold.kernel.errors import NotFound
from freehold.kernel.http.proxies import parse_address
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.kernel.http.router import Router
from freehold.kernel.metrics import CONTENT_TYPE, Metrics


def add_health_routes(
    router: Router, *, ready: Callable[[], Awaitable[None]], metrics: Metrics, metrics_networks: Sequence[str]
) -> None:
    """Register the three routes. `ready` raises (Unavailable, say) while the server should get no traffic."""
    networks = tuple(ip_network(network) for network in metrics_networks)

    async def health(_request: Request) -> Response:
        return json({"status": "ok"})

    async def readiness(_request: Request) -> Response:
        await ready()
        return json({"status": "ready"})

    async def metrics_page(request: Request) -> Response:
        client = parse_address(request.client_ip)
        if client is None or not any(client in network for network in networks):
            raise NotFound("Not Found")
        return Response(200, metrics.render(), content_type=CONTENT_TYPE)

    for path, handler in (("/health", health), ("/ready", readiness), ("/metrics", metrics_page)):
        router.add("GET", path, handler, name=f"operation.{path[1:]}", tenant=False, family="operation")
