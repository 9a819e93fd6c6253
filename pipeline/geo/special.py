"""Which addresses are not globally reachable: the IANA special-purpose registries, and multicast.

An address is PRIVATE when an entry that covers it says Globally Reachable "False" and no more specific entry says
"True". "N/A" and blank allow nothing and forbid nothing: 2002::/16 (N/A, in no other entry) is looked up, 2001::/32
(N/A, inside 2001::/23) is PRIVATE.
"""

import csv
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from pathlib import Path

SPECIAL_PURPOSE_CSV = Path(__file__).parent / "data" / "iana-special-purpose.csv"


Interval = tuple[int, int]


def read_special_purpose(source: Path = SPECIAL_PURPOSE_CSV) -> list[tuple[IPv4Network | IPv6Network, str]]:
    """Entries of the shipped table: (block, Globally Reachable as ``"True"``, ``"False"`` or ``"N/A"``)."""
    with source.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(line for line in stream if not line.startswith("#"))
        return [(ip_network(row["block"]), row["globally_reachable"]) for row in rows]


def private_intervals(version: int, source: Path = SPECIAL_PURPOSE_CSV) -> list[Interval]:
    """First and last address of every stretch that is PRIVATE, for IP ``version`` 4 or 6; ascending, not touching."""
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
