"""`freehold up` without TLS, as behind a proxy on the same machine: the targets are those of plain HTTP.

python -m bench.plain_server DATA READY-FILE [DATABASE-URL]
"""

import asyncio
import sys
from pathlib import Path

from freehold.app import build_edge
from freehold.cli.ready import write_ready_file
from freehold.cli.up import prepare, public_domain
from freehold.kernel.config import load_settings
from freehold.kernel.http.server import bind, serve
from freehold.kernel.log import configure


def main(data: str, ready_file: str, database_url: str | None = None) -> None:
    """Serve until asked to stop."""
    settings = load_settings({"data_dir": data, "database_url": database_url, "management_rate_limit": 1_000_000})
    configure(log_format="json", level="info")
    settings.data.prepare()
    listener = bind("localhost", 0)
    public = public_domain(settings, listener.port)
    facts, _ = asyncio.run(prepare(settings, public))
    facts["base_url"] = f"http://{public}"
    serve(build_edge(settings), listener, on_ready=lambda _port: write_ready_file(Path(ready_file), facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
