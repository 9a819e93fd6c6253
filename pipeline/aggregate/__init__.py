"""Phase 2: buckets of rows → totals per user and region."""
