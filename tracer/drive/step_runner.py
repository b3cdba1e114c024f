"""Runs the steps of a drive in order, and the requests to which their answers lead."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from slimtrace.tracer.console import detail, say
from slimtrace.tracer.drive.crawl.crawler import Crawler
from slimtrace.tracer.errors import DriverError
from slimtrace.tracer.text import format_count
from slimtrace.tracer.trace.drive_steps import StepKind
from slimtrace.tracer.trace.http_request import HttpRequest
from slimtrace.tracer.trace.trace import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.tracer.drive.actions import ActionOutcome, Actions
    from slimtrace.tracer.drive.answer_log import AnswerLog
    from slimtrace.tracer.drive.http import ServerAnswer
    from slimtrace.tracer.drive.shell import CommandLimits
    from slimtrace.tracer.engines.app import App
    from slimtrace.tracer.trace.drive_steps import DriveStep
    from slimtrace.tracer.trace.trace import DriveOptions

_BAD_REQUEST = 400


@dataclass(slots=True)
class StepRunner:
    """The steps of one drive.

    :ivar make_limits: returns the limits of a step that begins now.
    :ivar answers: where to write the answers in full; then a failure ends nothing.
    :ivar responses: how each step ended.
    """

    options: DriveOptions
    app: App
    actions: Actions
    answers: AnswerLog | None
    make_limits: Callable[[], CommandLimits]
    responses: list[Response] = field(default_factory=list)
    crawler: Crawler = field(init=False)
    _optional: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.crawler = Crawler(self.options.crawl)
        for path in (*self.options.http_get, *self.options.documents):
            self.crawler.note_request(HttpRequest(target=path))
        for request in self.options.requests:
            self.crawler.note_request(request)

    def run(self) -> None:
        """Run all steps.

        :raises DriverError: one failed.
        """
        try:
            for step in self.options.steps:
                self._run_step(step)
        finally:
            self._say_optional()

    def _run_step(self, step: DriveStep) -> None:
        match step.kind, step.value:
            case StepKind.GET, str(path):
                self._request_page(HttpRequest(target=path))
            case StepKind.REQUEST, HttpRequest() as request:
                self._request_page(request)
            case StepKind.OPENAPI, str(path):
                self._request_document(path)
            case StepKind.EXEC, str(command):
                run = partial(self.actions.run_outside, command)
                self._act(command, repr(command), run)
            case StepKind.EXEC_IN, tuple(argv):
                command = shlex.join(argv)
                self._act(command, repr(command), partial(self.actions.run_inside, argv))

    def _request_page(self, request: HttpRequest) -> None:
        """Send a request, and follow what its answer names."""
        answer = self._request(request)
        if answer is None:
            return
        self.crawler.host = self.actions.host
        self.crawler.add_answer(request, answer)
        for found, link in self.crawler.follow():
            if (answer := self._request(found, is_found=True)) is not None:
                self.crawler.add_answer(found, answer, link)

    def _request_document(self, path: str) -> None:
        """Request a document, and each operation that it describes."""
        from slimtrace.tracer.drive.requests.openapi import make_requests  # noqa: PLC0415 -- slow to import

        answer = self._request(HttpRequest(target=path))
        if answer is None:
            return
        try:
            found = make_requests(answer.body)
        except ValueError as error:
            raise DriverError(f"cannot drive the app: {path}: {error}") from error
        for request in found:
            self._request(request, is_found=True)

    def _request(self, request: HttpRequest, *, is_found: bool = False) -> ServerAnswer | None:
        run = partial(self.actions.request, request)
        outcome = self._act(request.shown, request.shown, run, request, is_found=is_found)
        return outcome.answer if outcome is not None else None

    def _act(
        self,
        name: str,
        shown: str,
        run: Callable[[CommandLimits], ActionOutcome],
        request: HttpRequest | None = None,
        *,
        is_found: bool = False,
    ) -> ActionOutcome | None:
        """Do one thing, and record how it ended; None if there was no answer.

        :param is_found: whether an answer led to the request.
        """
        found = request if is_found else None
        is_optional = request is not None and request.is_optional
        began = self.answers.now() if self.answers is not None else 0.0
        try:
            outcome = run(self.make_limits())
        except DriverError as error:
            self.responses.append(Response(name, None, found))
            is_over = self.app.interrupted is not None or self.app.ended.is_set()
            if self.answers is not None and self.app.interrupted is None:
                self.answers.add(name, None, began, self.answers.take_output(), error.message)
            elif not is_optional or is_over:
                raise
            self._note_optional(is_optional, shown, None)
            return None
        self.responses.append(Response(name, outcome.status, found))
        self._note_optional(is_optional, shown, outcome.status)
        if self.answers is not None:
            content = outcome.content or self.answers.take_output()
            self.answers.add(name, outcome.status, began, content)
        elif outcome.failure is not None:
            raise DriverError(f"cannot drive the app: {shown} {outcome.failure}", outcome.hint)
        return outcome

    def _note_optional(self, is_optional: bool, shown: str, status: int | None) -> None:
        if is_optional:
            detail(f"{shown}: {'no answer' if status is None else status}")
            bad = "not at all" if status is None else f"with {status}"
            self._optional["" if status is not None and status < _BAD_REQUEST else bad] += 1

    def _say_optional(self) -> None:
        """Say how requests went that no failure ends."""
        if total := self._optional.total():
            bad = sorted((why, count) for why, count in self._optional.items() if why)
            more = "".join(f", {count} {why}" for why, count in bad)
            requests, good = format_count(total, "more request"), self._optional[""]
            say(f"sent {requests}: {good} answered below 400{more}")
