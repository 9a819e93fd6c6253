"""The same job on Logmill and on its peers, side by side: ``make bench`` or ``python -m benchmarks --help``."""
