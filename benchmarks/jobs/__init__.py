"""The job ``warehouse`` beside its peers: one DuckDB script, dbt-duckdb and PySpark SQL on the same files."""
