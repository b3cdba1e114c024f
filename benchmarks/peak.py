"""Runs a Python program, and writes the peak of its memory at its end: peak.py FILE PROGRAM ….

The kernel keeps the peak with the memory (VmHWM in proc(5)) and forgets it with the process;
ru_maxrss would count the children that it waited for, and what the process was before its exec.
"""

from __future__ import annotations

import atexit
import os
import runpy
import sys


def write_peak(path: str) -> None:
    with open("/proc/self/status") as status, open(path, "w") as file:
        for line in status:
            if line.startswith("VmHWM:"):
                file.write(str(int(line.split()[1]) * 1024))


if __name__ == "__main__":
    atexit.register(write_peak, os.path.abspath(sys.argv[1]))
    sys.argv = sys.argv[2:]
    sys.path[0] = os.path.dirname(sys.argv[0])
    runpy.run_path(sys.argv[0], run_name="__main__")
