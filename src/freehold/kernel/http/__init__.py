"""The ASGI edge: router, request, response, and the one place where errors become answers."""
