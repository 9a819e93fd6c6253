"""How a kernel's exception crosses from an executor to the driver: as a value."""

import pickle
import traceback
from typing import TypeVar

from pipeline.engines import Kernel
from pipeline.preprocess.context import Job

Task = TypeVar("Task")


Result = TypeVar("Result")


def run_guarded(kernel: Kernel[Task, Result], job: Job, task: Task) -> Result | Exception:
    """On an executor: the kernel's result, or the exception that it raised with its traceback as a note."""
    try:
        return kernel(job, task, lambda _: None)
    except Exception as fault:
        fault.add_note(traceback.format_exc())
        try:
            pickle.loads(pickle.dumps(fault))
        except Exception:
            return RuntimeError(f"{type(fault).__name__}: {fault}")
        return fault
