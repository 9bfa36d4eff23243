"""A host in, whether it is one of the public internet out."""

import socket
from ipaddress import IPv6Address, ip_address


def is_inside(host: str) -> bool:
    """Whether a name leads to this machine or into a private network, by any of its addresses.

    A name that nobody knows leads nowhere: asking it will fail.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(_is_private(str(address[4][0])) for address in found)


def _is_private(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return not address.is_global
