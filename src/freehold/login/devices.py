"""Where a request comes from, as sessions and refresh tokens remember it."""

from freehold.domain.sessions import Device
from freehold.kernel.http.request import Request


def device_of(http: Request) -> Device:
    """Address and user agent of a request."""
    return Device(ip=http.client_ip, user_agent=http.headers.get("user-agent", ""))
