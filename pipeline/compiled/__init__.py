"""What is compiled: the parser of plain chunks, loops that visit every row (kernel.c), the scanner that certifies the
parser (scanner.c), and the way through the footers of Parquet files (footer.c). Several times as fast as
array-at-a-time code, and never needed: whoever has no compiler runs without it, with equal results."""

from pipeline.compiled.arrange import arrange
from pipeline.compiled.build import compile_kernel
from pipeline.compiled.copies import Copies, Part, find_keys, judge_copies
from pipeline.compiled.footer import find_row_groups
from pipeline.compiled.plain import PlainParser, as_columns
from pipeline.compiled.totals import Totals

__all__ = [
    "Copies",
    "Part",
    "PlainParser",
    "Totals",
    "arrange",
    "as_columns",
    "compile_kernel",
    "find_keys",
    "find_row_groups",
    "judge_copies",
]
