"""Fuzz one target: ``fuzzing.py MODULE[:FAULT] FOLDER [OPTION OF LIBFUZZER…]``.

FOLDER must be empty; a failing input is stored there as ``crash-…``. A FAULT of :mod:`faults` is
injected first.
"""

from __future__ import annotations

import importlib
import os
import random
import sys

import atheris

sys.path[1:1] = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))]

WORDS = (
    *("mediaType", "digest", "size", "platform", "annotations", "artifactType", "schemaVersion"),
    *("manifests", "layers", "config", "rootfs", "diff_ids", "os", "architecture", "variant"),
    *("use", "path", "was", "stat", "process", "parent", "exe", "argv", "save", "blob", "run"),
    *("path_b64", "argv_b64", "save_b64", "null", "true", "-1", "1e999", "9223372036854775808"),
)


def main() -> None:
    """:raises SystemExit: always."""
    name, folder, *options = sys.argv[1:]
    module, _, fault = name.partition(":")
    with atheris.instrument_imports(include=["slimtrace.builder.images", "slimtrace.tracer.trace"]):
        importlib.import_module("slimtrace.builder.images.read.full_image_source")
        importlib.import_module("slimtrace.tracer.trace.reader")
        harness = importlib.import_module(module)
    if fault:
        importlib.import_module("faults").FAULTS[fault]()
    os.chdir(folder)
    for inner in ("box", "corpus"):
        os.mkdir(inner)
    target = harness.Target(os.path.join(folder, "box"))
    for number, seed in enumerate(target.seeds()):
        assert target.one(seed), f"seed {number} is not valid"
        with open(f"corpus/{number:03}", "wb") as file:
            file.write(seed)
    with open("words", "wb") as file:
        file.writelines(b'"%b"\n' % word.encode() for word in WORDS)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)  # noqa: S311 -- repeatable, no key
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = target.mutate(data, rng) if rng.randrange(4) else atheris.Mutate(data, max_size)
        return data[:max_size]

    def one(data: bytes) -> None:
        if data:
            target.one(data)

    settings = ["-dict=words", "-timeout=20", "-rss_limit_mb=2048", "-max_len=40000"]
    argv = [sys.argv[0], "corpus", *settings, f"-artifact_prefix={folder}/", *options]
    atheris.Setup(argv, one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
