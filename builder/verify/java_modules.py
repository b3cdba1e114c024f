"""Repeats traced runs in the full image, to record which modules of its Java runtime they use.

A JVM reads all modules from one file, so a trace shows only that file.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from slimtrace.builder.failed_runs import check_failed_runs
from slimtrace.builder.full_image import become_root_for, open_full_image
from slimtrace.builder.images.read.full_image_source import FullImage, open_image
from slimtrace.builder.interrupt import StoppedBySignal, raise_on_signals
from slimtrace.builder.jlink.class_log import make_log_option, read_log
from slimtrace.builder.jlink.java_home import check_homes, find_jvms
from slimtrace.builder.jlink.jimage import read_jimage
from slimtrace.builder.verify.foreign_runs import check_made_here
from slimtrace.builder.verify.run_outcome import compare
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.console import say, warn
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.rerun_options import RerunOptions
from slimtrace.tracer.temporary_folder import make_temporary_folder
from slimtrace.tracer.trace.append import append_modules
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.jlink.class_log import LoadedClass
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.services import Rerun
    from slimtrace.tracer.trace.trace import Run

_LOG_FOLDER = "/slimtrace-classes"
_VARIABLE = "JAVA_TOOL_OPTIONS"


def record_modules(
    traces: Sequence[str],
    options: BuildOptions,
    rerun: Rerun,
    env: Sequence[str] = (),
    volumes: Sequence[str] = (),
    *,
    trust: bool = False,
) -> None:
    """Repeat each run that had a JVM, and add its modules to the trace. Skip runs that have them.

    :param rerun: repeats a run.
    :param env: ``NAME=VALUE`` or ``NAME``, beside the image's variables: a trace keeps none.
    :param volumes: ``HOST:PATH[:ro]``, instead of the volumes of the traced run.
    :param trust: whether to repeat runs of others, too.
    :raises SlimtraceError: a run failed or is of others, no JVM ran, the full image cannot link a
        runtime, a run cannot be repeated, its JVMs did not log what they load, or a trace cannot be
        written.
    """
    trace = read_trace(traces)
    check_failed_runs(traces, trace.runs, options)
    check_made_here(trace.runs, trust=trust)  # jlink itself is a program that the trace names
    become_root_for(trace, options.image)
    root = open_full_image(trace, options.image).root
    check_homes({home for homes in find_jvms(trace, root).values() for home in homes}, root)
    for path in traces:
        part = read_trace(path)
        for number in sorted(find_jvms(part, root)):
            run = part.runs[number]
            if run.modules:
                continue
            image = _open_full_image(run, root, options)
            say(f"repeating {run.command[0]} to see which Java modules it uses")
            loaded = _repeat_run(rerun, image, run, (*options.env, *env), volumes)
            modules = _collect_modules(loaded, root)
            if modules:
                append_modules(path, number, modules)
            elif not options.jlink_modules:
                raise SlimtraceError(
                    f"cannot see which Java modules {run.command[0]} uses: its JVM did not log it",
                    "name them with --jlink-modules",
                )


def _open_full_image(run: Run, root: Root, options: BuildOptions) -> FullImage:
    if root.root == "/":
        return FullImage("rootfs:/", None, "/", None, {})
    if options.image is not None:
        return open_image(options.image)
    return open_image(run.image, digest=run.image_digest)


def _repeat_run(
    rerun: Rerun, image: FullImage, run: Run, env: Sequence[str], volumes: Sequence[str]
) -> list[LoadedClass]:
    """Repeat a run, and read from its JVMs' logs which classes they load."""
    is_live = image.root == "/"
    with make_temporary_folder() as folder:
        logs = os.path.join(folder, "logs")
        os.mkdir(logs)
        os.chmod(folder, 0o755)  # noqa: S103 -- the app and its JVMs may run as any user
        os.chmod(logs, 0o1777)  # noqa: S103
        log_folder = logs if is_live else _LOG_FOLDER
        java_options = f"{make_log_option(log_folder)} {_find_java_options(image, env)}".rstrip()
        others = [variable for variable in env if not variable.startswith(f"{_VARIABLE}=")]
        changes = RerunOptions(
            (*others, f"{_VARIABLE}={java_options}"),
            tuple(volumes),
            outputs=() if is_live else (f"{logs}:{_LOG_FOLDER}",),
            copies_volumes=True,
        )
        trace = os.path.join(folder, "trace")
        with raise_on_signals(run.command[0]):
            rerun(image, run, trace, changes, is_default=False, user=run.user, below=None)
            (now,) = read_trace(trace).runs
            if now.interrupted is not None:
                raise StoppedBySignal(signal.Signals[now.interrupted])
        for difference in compare(run, now).differences:
            fact = f"{run.command[0]} differed when it was repeated for --jlink: {difference}"
            step = "name modules that it then did not load with --jlink-modules"
            warn(Caution(fact, step))
        return list(_read_logs(logs))


def _find_java_options(image: FullImage, env: Sequence[str]) -> str:
    """The value of JAVA_TOOL_OPTIONS that the app gets anyway."""
    variables = [*image.run_config.get("Env", ()), *env]
    values = dict(each.partition("=")[::2] for each in variables if "=" in each)
    return str(values.get(_VARIABLE, os.environ.get(_VARIABLE, "") if image.root == "/" else ""))


def _read_logs(folder: str) -> Iterator[LoadedClass]:
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            yield read_log(file)


def _collect_modules(loaded: Sequence[LoadedClass], root: Root) -> dict[str, frozenset[str]]:
    """The modules by own path of JAVA_HOME."""
    found: dict[str, frozenset[str]] = {}
    for jvm in loaded:
        if jvm.home is None:
            continue
        place = root.resolve(f"{jvm.home}/lib/modules")
        if not place.exists:
            continue
        home = place.path.removesuffix("/lib/modules")
        modules = jvm.all_modules(read_jimage(root, place.path).packages)
        found[home] = found.get(home, frozenset()) | modules
    return found
