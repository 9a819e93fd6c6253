"""Does steps side by side: each when those before it are done, and while its memory fits beside that of the others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from graphlib import TopologicalSorter
from threading import Event
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def _telling(stop: Event | None) -> Iterator[None]:
    """Set ``stop`` where the block is left early."""
    try:
        yield
    except BaseException:
        if stop:
            stop.set()
        raise


def side_by_side(
    steps: Mapping[str, Sequence[str]],
    do: Callable[[str], Result],
    memory_of: Callable[[str], int],
    room: int,
    threads: int,
    stop: Event | None = None,
) -> Iterator[Result]:
    """Do steps on threads, or in this one where no other runs beside it, and yield each result when it is there.

    Raises what a step raises, when the steps that run beside it have ended.

    ``steps``: by name, in the order in which they begin where they may, those that must be done before.
    ``memory_of``: bytes that a step takes, asked when those before it are done. One that takes more than is left of
    ``room`` waits, and one that takes more than ``room`` runs alone. ``stop`` is set where nobody wants the results any
    more, so that long steps can end.
    """
    graph = TopologicalSorter(steps)
    graph.prepare()
    waiting: dict[str, int] = {}
    running: dict[Future[Result], str] = {}
    taken: dict[str, int] = {}
    with ThreadPoolExecutor(threads) as pool, _telling(stop):
        while graph.is_active():
            waiting |= {name: memory_of(name) for name in graph.get_ready()}
            for name in sorted(waiting, key=list(steps).index):
                if not taken or (len(taken) < threads and sum(taken.values()) + waiting[name] <= room):
                    taken[name] = waiting.pop(name)
            begun = [name for name in taken if name not in running.values()]
            if not running and len(begun) == 1:
                # Alone: in this thread, where Ctrl-C ends it. Nothing else may begin before it is done.
                taken.clear()
                yield do(begun[0])
                graph.done(begun[0])
                continue
            running |= {pool.submit(do, name): name for name in begun}
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                del taken[name]
                yield future.result()
                graph.done(name)
