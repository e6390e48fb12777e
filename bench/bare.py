"""The limit of an HTTP answer in Python: a protocol on uvloop that parses a request and writes prepared bytes."""

import asyncio
import json
from typing import Any

import httptools
import uvloop

BODY = b"x" * 900
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class _Protocol(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"base_url": f"http://localhost:{port}"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
