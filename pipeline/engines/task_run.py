"""One task where it runs, in a worker process or on an executor: what every engine gives back of it."""

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
    """(what the kernel made of the task or the exception that it raised, when it ran).

    Times are by the time of day, because the machines of a cluster share no other clock.
    """
    begin = time.time()
    with recording() as spent, stage(getattr(kernel, "stage", "other")):
        result = _guarded(kernel, context, task, advance)
    return result, Span(kernel.__name__, f"{platform.node()}:{os.getpid()}", begin, time.time(), spent)


def _guarded(
    kernel: Kernel[Context, Task, Result], context: Context, task: Task, advance: Advance
) -> Result | Exception:
    """An exception crosses to the main process as a value: it has its traceback as a note, and it pickles."""
    try:
        return kernel(context, task, advance)
    except Exception as fault:
        fault.add_note(traceback.format_exc())
        try:
            pickle.loads(pickle.dumps(fault))
        except Exception:
            return RuntimeError(f"{type(fault).__name__}: {fault}")
        return fault
