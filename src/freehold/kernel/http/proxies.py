"""Who is really calling: proxy headers count only when the peer is a configured proxy; by default none is trusted."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_CACHE_SIZE = 1024


class Proxies:
    """The networks whose X-Forwarded-For and X-Forwarded-Proto are believed.

    X-Forwarded-Host is a separate decision (`forwarded_host`), because many proxies hand on what a client sent.
    `Forwarded`, `X-Real-IP`, `X-Original-URL` and vendors' headers are never read.
    """

    def __init__(self, networks: Sequence[str] = (), *, forwarded_host: bool = False) -> None:
        self.networks: tuple[IPv4Network | IPv6Network, ...] = tuple(ip_network(network) for network in networks)
        self.forwarded_host = forwarded_host
        self._known: dict[str, bool] = {}

    def trusts(self, address: str) -> bool:
        """Whether the address belongs to a configured proxy."""
        if not self.networks:
            return False
        known = self._known.get(address)
        if known is None:
            parsed = parse_address(address)
            known = parsed is not None and any(parsed in network for network in self.networks)
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            self._known[address] = known
        return known

    def client_ip(self, peer: str, forwarded_for: str | None) -> str:
        """The right-most address that is not one of our proxies; the last proxy's own when the header is unreadable."""
        if forwarded_for is None or not self.trusts(peer):
            return peer
        client = peer
        for hop in reversed(forwarded_for.split(",")):
            parsed = parse_address(hop.strip())
            if parsed is None:
                break
            client = str(parsed)
            if not self.trusts(client):
                break
        return client


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in the text, or None; an IPv4 address written as IPv6 (`::ffff:1.2.3.4`) is the IPv4 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
