"""Finds out whether addresses that are INVALID would be addresses by another IP_ADDRESS_FORMAT."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from pipeline.exchange.split_rows import SplitRows
from pipeline.geo.addresses import bare_addresses
from pipeline.geo.table import INVALID, GeoTable
from pipeline.reading.compiled_parser import CompiledParser
from pipeline.reading.value_formats import AddressFormat

_OTHERS: tuple[AddressFormat, ...] = ("endpoint", "forwarded")
_LOOKED_AT = 200
"""Addresses of a batch, or of all plain chunks, that are looked at."""


class OddAddresses:
    """Counts the rows of a split whose region is INVALID, and looks at some of their addresses."""

    def __init__(self, geo: GeoTable, form: AddressFormat) -> None:
        self._geo, self._form = geo, form
        self._batches = 0
        self._likely: Counter[str] = Counter()

    def add_batch(self, addresses: pl.Series, regions: pl.Series) -> None:
        """Take note of a batch of rows: their addresses (String) and regions (UInt16)."""
        odd = regions == INVALID
        count = int(odd.sum())
        if count:
            self._batches += count
            self._look(addresses.filter(odd).head(_LOOKED_AT), count)

    def add_compiled(self, parsers: Sequence[CompiledParser], rows: SplitRows) -> None:
        """Take note of the rows that compiled parsers made, which are those of ``rows`` that no batch had."""
        count = int((rows["region"] == INVALID).sum()) - self._batches
        if not count:
            return
        texts: list[str] = []
        for parser in parsers:
            lines, _, positions = parser.sample()
            column = list(parser.header.columns).index("ip_address")
            odd = rows["region"][positions] == INVALID
            texts += [line[column] for line, is_odd in zip(lines, odd.tolist(), strict=True) if is_odd]
        self._look(pl.Series(texts[:_LOOKED_AT], dtype=pl.String), count)

    @property
    def likely(self) -> Counter[str]:
        """IP_ADDRESS_FORMAT and value → about how many rows would have an address by it."""
        return +self._likely

    def _look(self, texts: pl.Series, count: int) -> None:
        rest = texts
        for form in _OTHERS:
            if form != self._form and len(rest):
                is_address = pl.Series(self._geo.lookup(bare_addresses(rest, form, 0)) != INVALID)
                self._likely[f"IP_ADDRESS_FORMAT = {form}"] += round(count * int(is_address.sum()) / len(texts))
                rest = rest.filter(~is_address)
