"""``--profile``: where the time of a run went, stage by stage."""

from dataclasses import asdict

from rich.console import Console

from cli.console import LOG
from cli.summary import new_table
from cli.terminal import PipeConsole
from pipeline.publish.result import RunResult
from utils.units import format_count, format_seconds, format_size


def print_profile(result: RunResult, *, stderr: bool = False, console: Console | None = None) -> None:
    """Print a table of the stages to stdout, or with ``stderr`` to stderr; there an event where messages are JSON."""
    if stderr and LOG.as_json:
        LOG.write("info", "profile", stages=[asdict(part) for part in result.profile])
        return
    console = console or PipeConsole(stderr=stderr)
    table = new_table(("stage", False), ("wall", True), ("cpu", True), ("share", True), ("amount", True), ("", True))
    for part in result.profile:
        amount, rate = _amounts(part.amount, part.amount / part.wall_seconds if part.wall_seconds else 0.0, part.unit)
        wall, cpu = f"{part.wall_seconds:.2f} s", f"{part.cpu_seconds:.2f} s"
        table.add_row(part.stage, wall, cpu, f"{part.share:.1%}", amount, rate)
    wall, cpu = (sum(getattr(part, name) for part in result.profile) for name in ("wall_seconds", "cpu_seconds"))
    table.add_row("all stages", f"{wall:.2f} s", f"{cpu:.2f} s", "", "", "", style="bold")
    console.print()
    console.print(table)
    console.print(
        f"\nSeconds are added up over {format_count(result.workers, 'worker')} and the main process; the run took "
        f"{format_seconds(result.seconds.total)}. Starting processes and waiting are in no stage.",
        style="dim",
    )


def _amounts(amount: int, rate: float, unit: str) -> tuple[str, str]:
    if not amount or not unit:
        return "", ""
    if unit == "bytes":
        return format_size(amount), f"{format_size(rate)}/s"
    return f"{amount:,} {unit}", f"{rate / 1e6:,.2f} M/s"
