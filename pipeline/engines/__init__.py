"""Who runs the kernels: the local process pool, or the executors of a Spark session."""
