"""Phase 1: a split of a file → rows in buckets, an id index, and counts that balance."""
