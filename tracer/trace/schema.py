"""The schema's version, and the objects of a run that trace lines and ``show --json`` share."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.trace.field_checks import (
    boolean,
    file_name,
    index,
    integer,
    json_objects,
    seconds,
    signal_name,
    text,
)
from slimtrace.tracer.trace.request_fields import (
    get_order,
    get_request,
    get_requests,
    put_request,
    put_requests,
)
from slimtrace.tracer.trace.text_fields import (
    escape_bytes,
    get,
    get_list,
    get_path,
    put,
    put_list,
)
from slimtrace.tracer.trace.trace import DEFAULT_HTTP_STATUS, DriveOptions, DriveResult, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.tracer.trace.trace import Run

SCHEMA = 1
"""The version of the schema."""
_OLD_HTTP_STATUS = "200-499"
"""What requests might be answered with when traces did not say it."""


def put_image_options(run: Run) -> dict[str, Any]:
    """Return the options of a run in an image that are not the default."""
    return {
        **(put_list("volumes", run.volumes) if run.volumes else {}),
        **(put_list("mounts", run.mounts) if run.mounts else {}),
        **({"before": [*map(_put_before, run.before.items())]} if run.before else {}),
        **(put_list("cap_add", run.cap_add) if run.cap_add else {}),
        **({} if run.network == "host" else {"network": run.network}),
        **({} if run.hostname is None else put("hostname", run.hostname)),
        **({"init": True} if run.init else {}),
        **({"no_new_privileges": True} if run.no_new_privileges else {}),
    }


def get_image_options(found: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """What :func:`put_image_options` put, as fields of Run. Raises TypeError or ValueError.

    :param folder: the trace's folder of copies.
    """
    before = json_objects(found.get("before", []))
    return {
        "volumes": _list(found, "volumes"),
        "mounts": _list(found, "mounts"),
        "before": {
            get_path(each, "path"): os.path.join(folder, file_name(each["blob"])) for each in before
        },
        "cap_add": _list(found, "cap_add"),
        "network": text(found.get("network", "host")),
        "hostname": get(found, "hostname") if _has(found, "hostname") else None,
        "init": boolean(found.get("init", False)),
        "no_new_privileges": boolean(found.get("no_new_privileges", False)),
    }


def _put_before(copy: tuple[str, str]) -> dict[str, str]:
    target, path = copy
    return {**put("path", target), "blob": os.path.basename(path)}


def put_drive_options(driving: DriveOptions) -> dict[str, Any]:
    """Return how the app was driven. What has a default is always there: it may change."""
    return {
        **({} if driving.ready is None else put("ready", driving.ready)),
        **({} if driving.ready_status is None else {"ready_status": driving.ready_status}),
        **({} if driving.ready_count is None else {"ready_count": driving.ready_count}),
        "ready_timeout": driving.ready_timeout,
        **_put_http(driving),
        **(put_list("exec", driving.commands) if driving.commands else {}),
        **({"exec_in": [put_list("argv", a) for a in driving.inside]} if driving.inside else {}),
        "exec_timeout": driving.exec_timeout,
        **({} if driving.stop_after is None else {"stop_after": driving.stop_after}),
        "stop_signal": driving.stop_signal,
        "stop_grace": driving.stop_grace,
        **({} if driving.directory is None else put("directory", driving.directory)),
        **({"order": [*driving.order]} if driving.order else {}),
    }


def get_drive_options(found: Mapping[str, Any]) -> DriveOptions:
    """What :func:`put_drive_options` put. Raises KeyError, TypeError or ValueError."""
    status, after = found.get("ready_status"), found.get("stop_after")
    count, paths, depth = found.get("ready_count"), _list(found, "http_get"), found.get("crawl")
    expected = _OLD_HTTP_STATUS if paths else DEFAULT_HTTP_STATUS
    options = DriveOptions(
        ready=get(found, "ready") if _has(found, "ready") else None,
        ready_status=None if status is None else text(status),
        ready_timeout=seconds(found["ready_timeout"]),
        http_get=paths,
        commands=_list(found, "exec"),
        inside=tuple(get_list(each, "argv") for each in json_objects(found.get("exec_in", []))),
        exec_timeout=seconds(found["exec_timeout"]),
        stop_after=None if after is None else seconds(after),
        stop_signal=signal_name(found["stop_signal"]),
        stop_grace=seconds(found["stop_grace"]),
        directory=get_path(found, "directory") if _has(found, "directory") else None,
        ready_count=None if count is None else integer(count),
        http_status=text(found.get("http_status", expected)),
        http_headers=_list(found, "http_headers"),
        requests=get_requests(json_objects(found.get("requests", []))),
        documents=_list(found, "openapi"),
        crawl=None if depth is None else index(depth),
    )
    return replace(options, order=get_order(found, options.step_values))


def _put_http(driving: DriveOptions) -> dict[str, Any]:
    asks = driving.http_get or driving.requests or driving.documents
    return {
        **(put_list("http_get", driving.http_get) if driving.http_get else {}),
        **({"http_status": driving.http_status} if asks else {}),
        **(put_list("http_headers", driving.http_headers) if driving.http_headers else {}),
        **({"requests": put_requests(driving.requests)} if driving.requests else {}),
        **(put_list("openapi", driving.documents) if driving.documents else {}),
        **({} if driving.crawl is None else {"crawl": driving.crawl}),
    }


def put_drive_result(driven: DriveResult) -> dict[str, Any]:
    """Return the result of driving the app; null for what did not happen."""
    return {
        "ready": driven.ready,
        "answers": [*map(_put_answer, driven.answers)],
        "failure": None if driven.failure is None else escape_bytes(driven.failure),
        **({} if driven.stopped is None else {"stopped": driven.stopped}),
        **(put_list("unrequested", driven.unrequested) if driven.unrequested else {}),
    }


def _put_answer(answer: Response) -> dict[str, Any]:
    request = {} if answer.request is None else {"request": put_request(answer.request)}
    return {**put("driver", answer.driver), "status": answer.status, **request}


def get_drive_result(found: Mapping[str, Any]) -> DriveResult:
    """What :func:`put_drive_result` put. Raises KeyError, TypeError or ValueError."""
    ready, failure = found["ready"], found["failure"]
    return DriveResult(
        ready=None if ready is None else seconds(ready),
        answers=tuple(map(_answer, json_objects(found["answers"]))),
        failure=None if failure is None else text(failure),
        stopped=boolean(found["stopped"]) if "stopped" in found else None,
        unrequested=_list(found, "unrequested"),
    )


def _answer(found: Mapping[str, Any]) -> Response:
    status, request = found["status"], found.get("request")
    return Response(
        get(found, "driver"),
        None if status is None else integer(status),
        None if request is None else get_request(*json_objects([request])),
    )


def _has(found: Mapping[str, Any], key: str) -> bool:
    return bool({key, f"{key}_b64"} & found.keys())


def _list(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return get_list(found, key) if _has(found, key) else ()
