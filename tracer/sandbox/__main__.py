"""The sandbox's launcher: a process of its own, so that no thread of the caller is in the way.

It takes the descriptor of a socket. From it comes the spec; to it goes an empty line once the
launcher runs, and a line of JSON if something fails. The program's exec closes it.
"""

import socket
import sys

from slimtrace.tracer.sandbox.launcher import launch
from slimtrace.tracer.sandbox.spec import Spec

if __name__ == "__main__":
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    data = b"".join(iter(lambda: channel.recv(65536), b""))
    sys.exit(launch(Spec.decode(data), channel))
