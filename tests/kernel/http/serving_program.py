"""A server of nothing much, for the tests that need it in processes of its own."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from freehold.kernel.errors import FreeholdError
from freehold.kernel.http import Edge, Request, Response, Router, json
from freehold.kernel.http.server import bind, serve


async def resolve(_host: str) -> str:
    return "tenant"


async def show_pid(_request: Request) -> Response:
    return json(os.getpid())


@asynccontextmanager
async def lifespan(_edge: Edge) -> AsyncIterator[None]:
    if "--broken" in sys.argv:
        raise FreeholdError("the lifespan failed")
    yield


def main() -> None:
    router = Router()
    router.add("GET", "/pid", show_pid, name="pid")
    edge = Edge(router, resolve_tenant=resolve, errors={}, lifespan=lifespan)
    workers = int(sys.argv[sys.argv.index("--workers") + 1])
    serve(edge, bind("127.0.0.1", 0, workers=workers), on_ready=lambda port: print(port, flush=True))


if __name__ == "__main__":
    main()
