"""Finds the addresses that are not globally reachable, by the IANA special-purpose registries, and multicast.

Registries: https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry (RFC 6890). The
most specific entry that covers an address and says "True" or "False" in the column Globally Reachable decides; the
address is PRIVATE if that entry says "False". Entries with "N/A" decide nothing: 2002::/16 (N/A, in no other entry) is
looked up in the database, 2001::/32 (N/A, inside 2001::/23) is PRIVATE.
"""

import csv
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from pathlib import Path

SPECIAL_PURPOSE_CSV = Path(__file__).parent / "data" / "iana-special-purpose.csv"

Interval = tuple[int, int]
"""First and last address, as numbers."""


def read_special_purpose(source: Path = SPECIAL_PURPOSE_CSV) -> list[tuple[IPv4Network | IPv6Network, str]]:
    """Read the shipped table: (block, Globally Reachable: ``"True"``, ``"False"`` or ``"N/A"``) of each entry."""
    with source.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(line for line in stream if not line.startswith("#"))
        return [(ip_network(row["block"]), row["globally_reachable"]) for row in rows]


def private_intervals(version: int, source: Path = SPECIAL_PURPOSE_CSV) -> list[Interval]:
    """The intervals of PRIVATE addresses of IP ``version`` 4 or 6, ascending, with other addresses between them."""
    entries = [
        (block, reach) for block, reach in read_special_purpose(source) if block.version == version and reach != "N/A"
    ]
    edges = sorted({edge for block, _ in entries for edge in (int(block[0]), int(block[-1]) + 1)})
    intervals: list[Interval] = []
    for first, end in pairwise(edges):
        covering = [(block.prefixlen, reach) for block, reach in entries if int(block[0]) <= first <= int(block[-1])]
        if not covering or max(covering)[1] != "False":
            continue
        if intervals and intervals[-1][1] + 1 == first:
            intervals[-1] = (intervals[-1][0], end - 1)
        else:
            intervals.append((first, end - 1))
    return intervals
