"""kernel.c and what calls it: the parser of plain chunks, and two loops that visit every row. Several times as fast as
array-at-a-time code, and never needed: whoever has no compiler runs without it, with equal results."""

from pipeline.compiled.arrange import arrange
from pipeline.compiled.build import compile_kernel
from pipeline.compiled.plain import PlainParser
from pipeline.compiled.totals import Totals

__all__ = ["PlainParser", "Totals", "arrange", "compile_kernel"]
