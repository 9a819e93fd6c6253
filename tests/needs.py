"""What a test needs of the machine. Where that is missing, the test is left out, and the end of the run says so."""

import pytest

from pipeline.engines.java import find_java

needs_java = pytest.mark.skipif(bool(find_java().problem), reason=f"Spark needs Java: {find_java().problem}")
