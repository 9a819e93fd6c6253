"""Object storage: objects by their URLs (``s3://``, ``gs://``, ``az://``), listed, read by ranges, and written."""
