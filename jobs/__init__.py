"""Jobs: each a package of sources and data sets; see docs/jobs.md. They do not import each other."""
