"""PySpark alone on a cluster: the same statement as on this machine."""

import sys

from benchmarks.peers.pyspark import main

if __name__ == "__main__":
    main(*sys.argv[1:])
