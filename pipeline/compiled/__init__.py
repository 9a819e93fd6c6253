"""The compiled parser of plain chunks (kernel.c): several times as fast as the Polars parser, and never needed."""

from pipeline.compiled.build import compile_kernel
from pipeline.compiled.plain import PlainParser

__all__ = ["PlainParser", "compile_kernel"]
