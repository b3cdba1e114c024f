"""An image that is unpacked, as the tracer needs it, and what opens one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager


class OpenedImage(Protocol):
    """An image that is unpacked for a while.

    :ivar source: the image reference that the user gave.
    :ivar root: the directory with its tree.
    :ivar digest: of its manifest; None where it has none.
    :ivar config: the ``config`` object of its configuration.
    """

    @property
    def source(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def digest(self) -> str | None: ...
    @property
    def config(self) -> Mapping[str, Any]: ...


class OpenImage(Protocol):
    """Opens an image: the builder knows the formats, the tracer does not."""

    def __call__(self, image: str, platform: str | None) -> AbstractContextManager[OpenedImage]:
        """Unpack an image when the context begins. The call itself imports what that needs.

        :param image: a reference, as ``run --image`` takes it.
        :param platform: ``OS/ARCH[/VARIANT]``; None for this machine's.
        :raises SlimtraceError: it cannot be read.
        """


class ImageServices(Protocol):
    """The services that ``run`` needs: a part of ``Services`` in builder/services.py."""

    @property
    def open_image(self) -> OpenImage: ...
