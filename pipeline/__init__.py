"""The data path: verified reading, deduplication, geo-enrichment, aggregation."""
