"""Loads the compiled library, once in a process, and declares its functions."""

import ctypes
import os
from functools import lru_cache
from pathlib import Path

from pipeline.machine import PROJECT, SHIPPED

_P, _I = ctypes.c_void_p, ctypes.c_int64

_SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "certify": (ctypes.c_int, (_P, _P, _P)),
    "find_records": (ctypes.c_bool, (_P, _P)),
    "read_rows": (_I, (_P, _P, _P, _P, _P, _I, _I, _I, _P)),
    "copy_texts": (None, (_P, _P, _I, _P, _P, _I, _P, _P)),
    "mark_keys": (None, (_P, _I, _I, _I, _P, _I, _P)),
    "find_keys": (_I, (_P, _I, _P, ctypes.c_uint64, _I, _I, _P, _I, _P, _P)),
    "sort_keys": (None, (_P, _I, _P)),
    "decide_copies": (ctypes.c_bool, (_P, _P, _I, _I, _P, _P, _P)),
    "cut_records": (None, (_P, _I, _P, _I, _I, _P, _P)),
    "arrange_column": (None, (_P, _I, _P, _I, _I, _P, _P)),
    "count_text_bytes": (None, (_P, _P, _I, _P)),
    "arrange_texts": (None, (_P, _P, _P, _I, _I, _P, _P, _P, _P)),
    "group_room": (_I, (_I, _I)),
    "write_group": (None, (_P, _I, _I, _I, _P, _P, _P)),
    "read_group": (ctypes.c_bool, (_P, _I, _I, _I, _I, _P)),
    "encode_numbers": (_I, (_P, _I, _P)),
    "encode_fronts": (_I, (_P, _P, _P, _I, _P, _P)),
    "walk_packets": (_I, (_P, _I, _P)),
    "read_packets": (_I, (_P, _I, _I, _P)),
    "new_totals": (_P, (_I,)),
    "free_totals": (None, (_P,)),
    "add_rows": (_I, (_P, _P, _P, _P, _P, _P, _I, _I)),
    "add_totals": (_I, (_P, _P, _P, _P, _P, _P, _I)),
    "totals_text_bytes": (_I, (_P,)),
    "read_totals": (None, (_P, _P, _P, _P, _P, _P, _I, _P)),
}
"""Function of api.h → (type of the result, types of the arguments). An array is passed as the address of its first
element."""


@lru_cache(maxsize=1)
def load(path: Path) -> ctypes.CDLL:
    """Load the library. Raises OSError where it is missing, or is no library of this machine."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class UsesLibrary:
    """A kernel's context that names the compiled library, if there is one, as a text (``library_path``)."""

    library_path: str | None

    @property
    def library(self) -> Path | None:
        """The compiled library; None where it is not on this machine."""
        return find_library(self.library_path)


_found: dict[str, Path] = {}


def find_library(path: str | None) -> Path | None:
    """The library at ``path``; None where no path is given, or no file is there.

    On an executor, which has the library of another machine: one for its own processor (``executor_library``). What was
    found once is not looked for again: kernels ask several times for each split.
    """
    if path and path not in _found:
        if (PROJECT / SHIPPED).is_dir():
            from pipeline.native.build import executor_library  # compiles, if need be

            library = executor_library(Path(path).name)
        else:
            library = Path(path) if os.path.exists(path) else None
        if library:
            _found[path] = library
    return _found.get(path or "")
