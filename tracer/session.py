"""One run of an app under an engine, from its exec to the end of its last process."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.interrupts import Interrupts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.tracer.drive.driver import Driver
    from slimtrace.tracer.drive.plan import Plan
    from slimtrace.tracer.engines.engine import Engine
    from slimtrace.tracer.recorder import Recorder


def trace(
    engine: Engine, recorder: Recorder, plan: Plan | None, mask: Iterable[int]
) -> Driver | None:
    """Let the app go, pass signals on and drive it; when all is over, return what drove it.

    :param mask: the signals that drivers are to have blocked.
    :raises CannotExecuteError: the app could not be executed.
    :raises SlimtraceError: its calls could not be heard of any more; the app was killed.
    """
    Interrupts(engine.app).start()
    driver = plan.driver(engine, recorder, mask) if plan is not None else None
    if driver is not None:
        driver.start()
    gc.freeze()  # nothing in the loops makes cycles; a collection would only hold up the app
    gc.disable()
    try:
        engine.run(recorder)
    except OSError as error:
        raise SlimtraceError(f"cannot go on tracing: {error}") from error
    finally:
        gc.enable()
        if driver is not None:
            driver.join()
    return driver
