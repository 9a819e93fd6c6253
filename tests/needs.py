"""What a test needs of the machine. Where that is missing, the test is left out, and the end of the run says so."""

import pytest

from pipeline.engines.java import find_java
from tests.isolated_cluster import can_hide
from tests.networks import can_make_networks

needs_java = pytest.mark.skipif(bool(find_java().problem), reason=f"Spark needs Java: {find_java().problem}")
needs_namespaces = pytest.mark.skipif(not can_hide(), reason="namespaces may not be made, to hide folders")
needs_networks = pytest.mark.skipif(not can_make_networks(), reason="namespaces may not be made, to cut a network")
