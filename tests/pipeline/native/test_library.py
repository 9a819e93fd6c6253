"""The declarations of the library in Python match api.h: every function's arguments and every structure's fields."""

import ctypes
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.native import copies, library, packets, pages
from pipeline.reading import compiled_parser, record_finder

API = Path(library.__file__).with_name("api.h").read_text(encoding="utf-8")
KINDS = {
    None: "void",
    ctypes.c_void_p: "pointer",
    ctypes.c_char_p: "pointer",
    ctypes.c_bool: "bool",
    ctypes.c_int: "int",
    ctypes.c_int64: "int64_t",
    ctypes.c_uint8: "uint8_t",
    ctypes.c_uint64: "uint64_t",
}
STRUCTURES = {
    "Columns": compiled_parser._Columns,
    "Geo": compiled_parser._Geo,
    "Rows": compiled_parser._Rows,
    "Part": copies._Part,
    "SortedRows": pages._SortedRows,
    "GroupTarget": pages._GroupTarget,
    "Texts": packets._Texts,
    "Chunk": record_finder._Chunk,
    "Found": record_finder._Found,
}

Shapes = Mapping[str, tuple]
"""Functions: (kind of the result, kinds of the arguments); structures: (name, kind) of each field."""


def without_comments(source: str) -> str:
    return re.sub(r"//[^\n]*", "", source)


def kind_of(declaration: str) -> str:
    """``pointer``, or the type of a value: of ``const int64_t *ends`` and ``int64_t count``, for example."""
    if "*" in declaration:
        return "pointer"
    return next(word for word in declaration.split() if word != "const")


def functions_of_c(source: str) -> Shapes:
    code, found = without_comments(source), {}
    for result, name, arguments in re.findall(r"^EXPORT\s+([^;()]*?)(\w+)\(([^)]*)\);", code, re.MULTILINE):
        kinds = tuple(map(kind_of, arguments.split(",")))
        found[name] = kind_of(result), () if kinds == ("void",) else kinds
    assert len(found) == len(re.findall(r"^EXPORT\b", code, re.MULTILINE)), "a prototype was not understood"
    return found


def structures_of_c(source: str) -> Shapes:
    code, found = without_comments(source), {}
    for body, name in re.findall(r"^typedef struct \{([^}]*)\} (\w+);", code, re.MULTILINE):
        fields: list[tuple[str, str]] = []
        for declaration in body.split(";")[:-1]:
            base = kind_of(declaration.replace("*", " "))
            fields += [
                (declarator.split()[-1].lstrip("*"), "pointer" if "*" in declarator else base)
                for declarator in declaration.split(",")
            ]
        found[name] = tuple(fields)
    assert len(found) == len(re.findall(r"\bstruct\s*\{", code)), "a structure was not understood"
    return found


def functions_of_python() -> Shapes:
    return {
        name: (KINDS[result], tuple(KINDS[argument] for argument in arguments))
        for name, (result, arguments) in library._SIGNATURES.items()
    }


def structures_of_python() -> Shapes:
    """``RowPosition`` has no class: ``decide_copies`` stacks two columns of int32."""
    shapes = {name: tuple((field, KINDS[kind]) for field, kind in of._fields_) for name, of in STRUCTURES.items()}
    return shapes | {"RowPosition": (("part", "int32_t"), ("row", "int32_t"))}


def differences(source: str) -> dict[str, tuple]:
    """(shape in C, shape in Python) of each function and structure whose shapes differ; None: is not declared."""
    c = functions_of_c(source) | structures_of_c(source)
    python = functions_of_python() | structures_of_python()
    return {name: (c.get(name), python.get(name)) for name in c | python if c.get(name) != python.get(name)}


def test_python_declares_the_library_as_c_does() -> None:
    assert differences(API) == {}
    assert {"certify", "read_totals", "Geo"} <= functions_of_c(API).keys() | structures_of_c(API).keys()


@pytest.mark.parametrize(
    ("before", "after", "different"),
    [
        ("uint64_t mask,", "int64_t mask,", {"find_keys"}),
        (", int64_t *lines)", ")", {"certify"}),
        ("void free_totals(", "int64_t free_totals(", {"free_totals"}),
        ("Totals *new_totals(", "int64_t new_totals(", {"new_totals"}),
        ("const uint8_t *skipped,", "uint8_t skipped,", {"add_rows"}),
        ("totals_text_bytes(const Totals *table)", "totals_text_bytes(void)", {"totals_text_bytes"}),
        (" find_records(", " find_lines(", {"find_records", "find_lines"}),
        ("int64_t odd_room, odd;", "int64_t odd, odd_room;", {"Found"}),
        ("EXPORT bool decide_copies(", "bool decide_copies(", {"decide_copies"}),
        ("int64_t halves;", "int32_t halves;", {"Geo"}),
        ("const int64_t *first, *last;", "const int64_t *first, last;", {"Geo"}),
        ("log_id, user_id,", "user_id, log_id,", {"Columns"}),
        ("    int64_t first_place;\n", "", {"GroupTarget"}),
        ("} Rows;", "} Columns_of_rows;", {"Rows", "Columns_of_rows"}),
        ("int32_t part, row;", "int64_t part, row;", {"RowPosition"}),
    ],
)
def test_a_change_on_one_side_alone_is_noticed(before: str, after: str, different: set[str]) -> None:
    assert API.count(before) == 1
    assert differences(API.replace(before, after)).keys() == different


def test_a_prototype_that_is_not_understood_is_no_match() -> None:
    with pytest.raises(AssertionError, match="not understood"):
        functions_of_c(API + "EXPORT void call(void (*back)(int));\n")
