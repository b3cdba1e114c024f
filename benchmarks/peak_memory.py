"""Runs a Python program, and writes its peak memory at its end: peak_memory.py FILE PROGRAM ….

The peak is VmHWM (proc(5)), which the kernel drops when the process ends. ru_maxrss would also
count the children that it waited for, and the program that ran in the process before its exec.
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
