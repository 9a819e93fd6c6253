"""The load of the job ``storefront`` from PostgreSQL beside plain PySpark, which reads by JDBC."""
