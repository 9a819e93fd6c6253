"""A network of a test can be cut, and heals."""

import socket
import subprocess
import sys

from tests.end_to_end.program import wait_for
from tests.needs import needs_networks
from tests.networks import open_network

_ECHO = """
import socket
listening = socket.create_server(("", 7))
print("ready", flush=True)
while True:
    with listening.accept()[0] as caller:
        caller.sendall(b"here")
"""


@needs_networks
def test_nothing_reaches_a_machine_that_is_cut_off_until_that_heals() -> None:
    def answers() -> bool:
        try:
            with socket.create_connection((network.address(1), 7), timeout=2) as call:
                return call.recv(4) == b"here"
        except OSError:
            return False

    with open_network(1) as network:
        machine = subprocess.Popen(
            [*network.around(1), sys.executable, "-c", _ECHO], stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        with machine:
            assert machine.stdout
            assert machine.stdout.readline() == "ready\n"
            assert answers()
            network.cut(1)
            assert not answers()
            network.heal(1)
            wait_for(answers, 30)
            machine.kill()
    assert network.name not in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
