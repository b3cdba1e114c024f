"""What an engine is given: a command that waits to be executed, here or in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from slimtrace.tracer.engines.launch.guard import Guard
    from slimtrace.tracer.engines.launch.sandbox import Spawner
    from slimtrace.tracer.process.root_view import RootView


class Launcher(Protocol):
    """A command that is to be executed here, or in an image (:class:`Launch` says more)."""

    app: int
    first: int | None

    @property
    def inside(self) -> Spawner | None: ...
    @property
    def view(self) -> RootView: ...
    def under_guard(self, code: bytes) -> tuple[Guard, int]: ...
    def seized(self, code: bytes | None, options: int) -> int: ...
    def fork_app(self) -> None: ...
    def check_memory(self) -> None: ...
    def go(self) -> None: ...
    def check_executed(self) -> None: ...
