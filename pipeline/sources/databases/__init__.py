"""Databases as sources: the tables of one snapshot, read in batches as the contracts type them."""
