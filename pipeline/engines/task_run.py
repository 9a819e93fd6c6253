"""Runs one task in a worker process or on an executor, the same way for every engine."""

import os
import pickle
import platform
import time
import traceback

from pipeline.engines import Advance, Context, Kernel, Result, Task
from pipeline.timing import Span, recording, stage


def run_task(
    kernel: Kernel[Context, Task, Result], context: Context, task: Task, advance: Advance
) -> tuple[Result | Exception, Span]:
    """Run the kernel on one task. Returns (its result or the exception that it raised, when it ran).

    The span has the time of day, because the machines of a cluster share no other clock.
    """
    begin = time.time()
    with recording() as spent, stage(getattr(kernel, "stage", "other")):
        result = _guarded(kernel, context, task, advance)
    return result, Span(kernel.__name__, f"{platform.node()}:{os.getpid()}", begin, time.time(), spent)


def _guarded(
    kernel: Kernel[Context, Task, Result], context: Context, task: Task, advance: Advance
) -> Result | Exception:
    """Return an exception as a value that crosses processes: it pickles, and has its traceback as a note."""
    try:
        return kernel(context, task, advance)
    except Exception as fault:
        fault.add_note(traceback.format_exc())
        try:
            pickle.loads(pickle.dumps(fault))
        except Exception:
            return RuntimeError(f"{type(fault).__name__}: {fault}")
        return fault
