"""Docker's API, as far as images need it (docs.docker.com/reference/api/engine)."""

from __future__ import annotations

import os
from contextlib import closing
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

import orjson

from slimtrace.builder.images.docker_endpoint import DockerEndpoint, find_docker
from slimtrace.builder.images.reference import is_digest
from slimtrace.builder.os_errors import convert_write_errors
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from http.client import HTTPResponse

_PIECE_BYTES = 1 << 20
_MAX_ANSWER_BYTES = 1 << 26


class DockerClient:
    """Docker's daemon, where the user's settings say that it is.

    :param failure: what cannot be done if it does not answer: ``cannot VERB OBJECT``.
    :raises SlimtraceError: the settings cannot be used.
    """

    def __init__(self, failure: str, endpoint: DockerEndpoint | None = None) -> None:
        self._failure = failure
        self.endpoint = endpoint or find_docker()

    def ping(self) -> None:
        """:raises SlimtraceError: the daemon does not answer."""
        self._ask("GET", "/_ping")

    def list_names(self) -> list[str]:
        """The names of all images, as ``app:latest``.

        :raises SlimtraceError: the daemon does not answer.
        """
        images = self._ask("GET", "/images/json")
        tags = [each.get("RepoTags") or () for each in images or ()]
        return sorted({name for names in tags for name in names if "<none>" not in name})

    def find_id(self, name: str) -> str | None:
        """The ID of an image; None where the daemon has no such image.

        :raises SlimtraceError: the daemon does not answer.
        """
        found = self._ask("GET", f"/images/{_quote(name)}/json", absent=404)
        if found is None:
            return None
        image_id = str(found.get("Id"))
        if not is_digest(image_id):
            raise SlimtraceError(f"{self._failure}: Docker names its ID {image_id!r}")
        return image_id

    def save(self, name: str, file: BinaryIO) -> None:
        """Write the archive of an image, as ``docker save`` does.

        :raises SlimtraceError: there is no such image, or the daemon cannot send it.
        """
        try:
            with closing(self.endpoint.connect()) as connection:
                connection.request("GET", f"/images/{_quote(name)}/get")
                answer = connection.getresponse()
                if answer.status != 200:
                    raise self._refusal(answer)
                while piece := answer.read(_PIECE_BYTES):
                    with convert_write_errors(str(file.name)):
                        file.write(piece)
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error

    def load(self, archive: BinaryIO) -> None:
        """Load the image in an archive, as ``docker load`` does.

        :raises SlimtraceError: the daemon refuses it.
        """
        size = os.fstat(archive.fileno()).st_size
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
        try:
            with closing(self.endpoint.connect()) as connection:
                connection.request("POST", "/images/load?quiet=1", archive, headers)
                answer = connection.getresponse()
                if answer.status != 200:
                    raise self._refusal(answer)
                # One JSON document a line, with status 200 even where the last one is an error.
                for line in answer.read(_MAX_ANSWER_BYTES).splitlines():
                    if (cause := _parse(line).get("error")) is not None:
                        raise SlimtraceError(f"{self._failure}: {cause}")
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error

    def _ask(self, method: str, path: str, absent: int | None = None) -> Any:
        try:
            with closing(self.endpoint.connect()) as connection:
                connection.request(method, path)
                answer = connection.getresponse()
                if answer.status == absent:
                    return None
                if answer.status != 200:
                    raise self._refusal(answer)
                data = answer.read(_MAX_ANSWER_BYTES)
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error
        try:
            return orjson.loads(data) if answer.headers.get_content_subtype() == "json" else None
        except ValueError as error:
            raise SlimtraceError(
                f"{self._failure}: the answer of Docker at {self.endpoint} is damaged"
            ) from error

    def _refusal(self, answer: HTTPResponse) -> SlimtraceError:
        cause = _parse(answer.read(_MAX_ANSWER_BYTES)).get("message") or str(answer.status)
        return SlimtraceError(f"{self._failure}: {cause}")

    def _unreachable(self, error: OSError | HTTPException) -> SlimtraceError:
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        match error:
            case PermissionError():
                hint = "join the group of the socket (docker), or run slimtrace as root"
            case FileNotFoundError() | ConnectionRefusedError():
                hint = "start Docker, or say where it is: DOCKER_HOST or docker context use"
            case _:
                hint = "check DOCKER_HOST and docker context ls"
        message = f"{self._failure}: Docker does not answer at {self.endpoint}: {cause}"
        return SlimtraceError(message, hint)


def _quote(name: str) -> str:
    return quote(name, safe="/:@")


def _parse(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
