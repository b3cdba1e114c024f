"""Sends a task and compares its result with the expected one."""

import sys

from proj.tasks import calculate


def main() -> None:
    operation, left, right, expected = sys.argv[1:]
    found = calculate.delay(operation, int(left), int(right)).get(timeout=15)
    if found != int(expected):
        sys.exit(f"{operation} {left} {right} is {found}, not {expected}")


main()
