"""Phase 2 of a run that changes little: the totals of the version before plus or minus what changed."""
