"""Where a notification may be sent: to a server of the internet, not to one beside us.

A tenant names the address, so without this check it could make the service talk to machines that
only the service can reach. The name is looked up once, and the connection goes to the address that
was checked, so that a second look-up cannot lead elsewhere.
"""

from __future__ import annotations

import ipaddress
import socket

import httpx

from service.core.errors import InvalidInputError, QuintileError

_SHARED_PREFIXES = tuple(
    ipaddress.ip_network(prefix)
    # Addresses that carry an IPv4 address inside: NAT64, 6to4, Teredo.
    for prefix in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
_LONGEST_URL = 500

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class UnreachableAddressError(QuintileError):
    """The address of notifications leads nowhere it may lead."""


def check_url(url: str, *, may_be_private: bool) -> str:
    """The address as it is to be kept; its name is looked up only when something is sent.

    Args:
        url: What the tenant named.
        may_be_private: Take http and addresses of a private network too.

    Raises:
        InvalidInputError: It is no https address, has a user name or password in it, or names a
            machine by an address that is not of the internet.
    """
    try:
        parsed = httpx.URL(url.strip())
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        raise _unusable("This is not an address of the web.") from None
    schemes = ("https", "http") if may_be_private else ("https",)
    if parsed.scheme not in schemes or not host:
        raise _unusable("The address has to begin with https://.")
    if parsed.userinfo:
        raise _unusable("The address must not hold a user name or password.")
    if len(str(parsed)) > _LONGEST_URL:
        raise _unusable(f"The address is longer than {_LONGEST_URL} characters.")
    literal = _literal(host)
    is_local_name = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    if not may_be_private and (is_local_name or (literal and not is_public(literal))):
        raise _unusable("The address is one of a private network.")
    return str(parsed.copy_with(fragment=None))


def look_up(host: str, port: int, *, may_be_private: bool) -> str:
    """The IP address to connect to.

    Raises:
        UnreachableAddressError: The name has no address, or any of them is not of the internet.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise UnreachableAddressError("The address's host name is not known.") from None
    addresses = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    if not may_be_private and not all(map(is_public, addresses)):
        raise UnreachableAddressError("The address leads into a private network.")
    return str(addresses[0])


def is_public(address: IpAddress) -> bool:
    """Whether an IP address is one of the internet's, and nothing else's under a disguise."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if any(address in prefix for prefix in _SHARED_PREFIXES):
            return False
    return address.is_global and not address.is_multicast


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _unusable(problem: str) -> InvalidInputError:
    return InvalidInputError(
        problem,
        advice="It is the https address of a server that can be reached from the internet.",
        field="url",
    )
