"""The data path: verified reading, deduplication, geo-enrichment, aggregation."""

KERNEL_MODULES = ("pipeline.preprocess.preprocessor", "pipeline.aggregate.aggregator", "pipeline.publish.region_files")
"""The modules with the kernels of a run. Workers load them, and all that they import, while the main process loads its
own modules; hence the names stand where importing them loads nothing."""
