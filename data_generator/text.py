"""Tables of fixed-width text. Numbers become text by lookup; PAD fills up and is deleted when a block is finished."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Texts = NDArray[np.uint8]

PAD = 0xFF
"""The padding byte: it occurs in no UTF-8 text, so that deleting it never changes a value."""

COLON = ord(":")


def text_table(texts: Sequence[bytes], width: int) -> Texts:
    """A table (texts x width) of padded texts.

    Raises:
        ValueError: a text is longer than the width.
    """
    if any(len(text) > width for text in texts):
        raise ValueError(f"a text is longer than the {width} bytes of its column: {max(texts, key=len)!r}")
    padded = b"".join(text.ljust(width, bytes([PAD])) for text in texts)
    return np.frombuffer(padded, dtype=np.uint8).reshape(len(texts), width)


def write_texts(target: Texts, table: Texts, rows: NDArray[np.unsignedinteger | np.signedinteger]) -> None:
    """Copy one row of a table into each row of ``target``, a column range of a larger matrix, of the table's width."""
    item = _whole_item(table.shape[1])
    target.view(item)[:, 0] = table.view(item)[:, 0].take(rows)


def _whole_item(width: int) -> np.dtype:
    """The type of a whole text as one item: copying 8 bytes as one number is several times as fast as one by one."""
    return np.dtype(f"u{width}") if width in (2, 4, 8) else np.dtype(f"V{width}")


OCTETS = text_table([b"%d" % value for value in range(256)], 4)
DOTTED_OCTETS = text_table([b"%d." % value for value in range(256)], 4)
HEX_GROUPS = text_table([b"%x" % value for value in range(65_536)], 4)
HEX_DIGITS = text_table([b"%04x" % value for value in range(65_536)], 4)
FOUR_DIGITS = text_table([b"%04d" % value for value in range(10_000)], 4)
