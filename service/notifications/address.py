"""Checks of notification URLs, which prevent server-side request forgery.

A tenant chooses the URL; without these checks it could make the service call machines of its
private network. The host name is resolved once and the connection goes to the checked IP address,
so a second look-up cannot lead elsewhere.
"""

from __future__ import annotations

import ipaddress
import socket

import httpx

from service.core.errors import InvalidInputError, QuintileError

_EMBEDDED_IPV4 = tuple(
    ipaddress.ip_network(prefix)
    # Addresses that contain an IPv4 address: NAT64, 6to4, Teredo, and the former "compatible" form.
    for prefix in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)
# What Python takes for global: IETF protocol assignments, the 6to4 relays, the address of Azure's
# host in every virtual machine, and site-local addresses.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(prefix)
    for prefix in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "fec0::/10")
)
_LONGEST_URL = 500
# RFC 1035, section 2.3.4.
_LONGEST_LABEL = 63

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class UnreachableAddressError(QuintileError):
    """The notification URL's host is unknown or not on the internet."""


def check_url(url: str, *, may_be_private: bool) -> str:
    """The URL to store; its host name is resolved only when something is sent.

    Args:
        url: The tenant's URL.
        may_be_private: Allow http and private addresses.

    Raises:
        InvalidInputError: It is not an https URL, contains a user name or password, or its host is
            an IP address that is not on the internet.
    """
    try:
        parsed = httpx.URL(url.strip())
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        raise _invalid("This is not a URL.") from None
    schemes = ("https", "http") if may_be_private else ("https",)
    if parsed.scheme not in schemes or not host:
        raise _invalid("The address must begin with https://.")
    if parsed.userinfo:
        raise _invalid("The address must not contain a user name or password.")
    if any(len(label) > _LONGEST_LABEL for label in host.split(".")):
        raise _invalid(f"A part of the host name is longer than {_LONGEST_LABEL} characters.")
    if len(str(parsed)) > _LONGEST_URL:
        raise _invalid(f"The address is longer than {_LONGEST_URL} characters.")
    literal = _literal(host)
    is_local_name = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    if not may_be_private and (is_local_name or (literal and not is_public(literal))):
        raise _invalid("The address is in a private network.")
    return str(parsed.copy_with(fragment=None))


def look_up(host: str, port: int, *, may_be_private: bool) -> str:
    """Resolve a host name to the IP address to connect to.

    Raises:
        UnreachableAddressError: The name has no address, or one that is not on the internet.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # A name that cannot be written in DNS is an error of its encoding.
        raise UnreachableAddressError("The host name of the address is unknown.") from None
    addresses = [
        ipaddress.ip_address(str(socket_address[0]).partition("%")[0])
        for *_, socket_address in found
    ]
    if not may_be_private and not all(map(is_public, addresses)):
        raise UnreachableAddressError("The address is in a private network.")
    return str(addresses[0])


def is_public(address: IpAddress) -> bool:
    """Whether an IP address is on the internet and contains no IPv4 address that is not."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if any(address in prefix for prefix in _EMBEDDED_IPV4):
            return False
    is_reserved = any(address in prefix for prefix in _NOT_PUBLIC)
    return address.is_global and not address.is_multicast and not is_reserved


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _invalid(problem: str) -> InvalidInputError:
    return InvalidInputError(
        problem,
        advice="Give the https address of a server on the internet.",
        field="url",
    )
