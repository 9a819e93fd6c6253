"""How a kernel's exception crosses from an executor to the driver: as a value."""

import pickle
import traceback

from pipeline.engines import Context, Kernel, Result, Task


def run_guarded(kernel: Kernel[Context, Task, Result], context: Context, task: Task) -> Result | Exception:
    """On an executor: the kernel's result, or the exception that it raised with its traceback as a note."""
    try:
        return kernel(context, task, lambda _: None)
    except Exception as fault:
        fault.add_note(traceback.format_exc())
        try:
            pickle.loads(pickle.dumps(fault))
        except Exception:
            return RuntimeError(f"{type(fault).__name__}: {fault}")
        return fault
