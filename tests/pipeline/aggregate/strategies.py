"""Rows that meet: few ids, of which some differ in the last bits alone; few users, contents and timestamps."""

from hypothesis import strategies as st

from tests.pipeline.aggregate.by_hand import Row

PREFIXES = (0, 1 << 10, 5 << 40, 1 << 63, 2**64 - 1024)
"""Ids of the first and the last range, and of two in between."""
ids = st.tuples(st.sampled_from(PREFIXES), st.sampled_from((0, 0, 1, 1023)), st.sampled_from((0, 0, 7)))
rows = st.builds(
    lambda id_, user, region, micro, stamp: Row(id_[0] | id_[1], id_[2], user, region, micro, stamp),
    ids,
    st.sampled_from(("u", "v", "é", "user 4", "")),
    st.integers(0, 2),
    st.sampled_from((0, 1_500_000, 10**15)),
    st.sampled_from((None, -1, 5)),
)
splits = st.lists(st.lists(rows, max_size=12, unique_by=lambda row: (row.id, row.content)), min_size=1, max_size=4).map(
    lambda lists: dict(enumerate(lists))
)
"""Split number → rows; Phase 1 has left one row of each content."""
keeps = st.sampled_from(("longest", "first", "last"))
bucket_counts = st.sampled_from((1, 4, 64))
