"""The options that all benchmarks share, and how they end."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rounds import WORK, BenchmarkError
from tools import find_default_slimtrace

if TYPE_CHECKING:
    from collections.abc import Callable


def make_parser(description: str, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, metavar="N", help="(%(default)s)")
    parser.add_argument(
        "--light", action="store_true", help="import only the standard library: nothing to install"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="do a hundredth of the work, only to test the benchmark: the figures mean nothing",
    )
    parser.add_argument(
        "--slimtrace",
        default=find_default_slimtrace(),
        metavar="PROGRAM",
        help="the console script to measure (%(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement")
    return parser


def run_benchmark(
    options: argparse.Namespace, work: Callable[[argparse.Namespace, Path], str]
) -> int:
    """Do the work in a temporary folder, and print a failure as one line.

    :param work: prints its tables, and returns the document for --json.
    :returns: the exit status.
    """
    try:
        WORK.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WORK) as scratch:
            document = work(options, Path(scratch))
    except BenchmarkError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json is not None:
        options.json.write_text(document)
    return 0
