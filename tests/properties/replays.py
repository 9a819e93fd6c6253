"""Files of a run with a replayed one: lines of theirs, some mended, under a header of its own."""

from hypothesis import strategies as st

from tests.properties.nasty import COLUMNS
from tests.properties.readers import fuzzed_files


@st.composite
def files_and_replay(draw: st.DrawFn) -> list[bytes]:
    """One or two files, and a last one as ``replay`` takes it: with the usual header and lines of the others."""
    files = draw(st.lists(fuzzed_files(), min_size=1, max_size=2))
    lines = [line for data in files for line in data.split(b"\n")]
    chosen = draw(st.lists(st.sampled_from(lines), max_size=6))
    changes = st.sampled_from([(b"", b""), (b"abc", b"5"), (b'"', b""), (b";", b","), (b"\t", b","), (b"-", b"")])
    mended = [line.replace(*draw(changes)) for line in chosen]
    return [*files, b"\n".join([b",".join(COLUMNS), *mended])]
