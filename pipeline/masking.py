"""Addresses in text that leaves the program: cut to their networks, /24 of IPv4 and /48 of IPv6."""

import ipaddress
import re

_QUAD = re.compile(r"(?<![0-9.])([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\.[0-9]+(?![0-9]|\.[0-9])")
_TOKEN = re.compile(r"[0-9A-Fa-f:.]+")  # no more than one way to match: values may be hostile, and a megabyte long


def mask_addresses(text: str) -> str:
    """``text`` with every address in it replaced by its network: 8.8.8.0/24, 2001:db8:1::/48.

    An IPv4 address within IPv6 (``::ffff:8.8.8.8``) is cut as IPv4. What only looks like an address (a quad with
    leading zeros, five or more groups with colons) is cut as well: a misspelled address still tells of a person.
    Times such as 12:30:00 stay.
    """
    if ":" in text:
        text = _TOKEN.sub(lambda found: _mask_ipv6(found[0]), text)
    return _QUAD.sub(r"\1.0/24", text)


def _mask_ipv6(token: str) -> str:
    if token.count(":") < 2:
        return token
    text = token.rstrip(".")
    groups = text.split(":")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        masked = ":".join(groups[:3]).rstrip(":") + "::/48" if len(groups) > 4 or "::" in text else text
    else:
        masked = str(address.ipv4_mapped or ipaddress.IPv6Network((address, 48), strict=False))
    return masked + token[len(text) :]
