"""Phase 2 of a run that changes little: the totals of the version before, plus what came and less what went."""
