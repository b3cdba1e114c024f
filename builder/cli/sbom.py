"""The command ``sbom``: parse, call one function, print."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from slimtrace.builder.cli import shared_options as shared
from slimtrace.builder.sbom.bom import SbomFormat
from slimtrace.tracer.cli import options as traced
from slimtrace.tracer.cli.value_parsers import make_choice_parser
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.text import format_count

if TYPE_CHECKING:
    from slimtrace.builder.describe import ImageLocation
    from slimtrace.builder.sbom.bom import BillOfMaterials

_SBOM_HELP = """
Examples:

  slimtrace sbom app.tar --format cyclonedx -o app.cdx.json

  slimtrace sbom docker://example.org/team/app:1.0 --trace app.trace

  slimtrace sbom app.trace

An SBOM lists packages and their files, with checksums. For an image, it lists what the image
contains; with --trace, also which files of its packages were left out. For a trace, it is the SBOM
of the image that slimtrace build makes without options.

Exit status: 0; 2 usage; 125 if a file cannot be read or written.
"""


def sbom(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="TRACE|IMAGE", help="A trace, or an image in any format that build writes."
        ),
    ],
    sbom_format: Annotated[
        SbomFormat,
        typer.Option(
            "--format",
            metavar="|".join(SbomFormat),
            parser=make_choice_parser(SbomFormat),
            help="SPDX 2.3 or CycloneDX 1.6, both as JSON.",
        ),
    ] = SbomFormat.SPDX,
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="FILE", help="Write the SBOM to FILE; - is stdout."),
    ] = "-",
    traces: Annotated[
        list[str] | None,
        typer.Option(
            "--trace",
            metavar="TRACE",
            help="A trace that IMAGE was built from, to list what was left out. Repeat it for each "
            "trace.",
        ),
    ] = None,
    image: shared.FullImageReference = None,
    tls_verify: traced.TlsVerify = None,
    authfile: traced.Authfile = None,
    allow_changed: shared.AllowChanged = False,
) -> None:
    """Write the SBOM of an image or of a trace."""
    from slimtrace.builder.cli.option_values import read_source_date_epoch  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.describe import ImageLocation  # noqa: PLC0415
    from slimtrace.builder.images.write.atomic import check_file, open_replacement  # noqa: PLC0415
    from slimtrace.builder.sbom.render import render  # noqa: PLC0415

    choose_registry_access(tls_verify, authfile)
    if output != "-":
        check_file(output)
    where = ImageLocation(image, read_source_date_epoch(), allow_changed)
    facts = _collect_facts(subject, traces or [], where)
    data = render(facts, sbom_format)
    if output == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with open_replacement(output) as file:
        file.write(data)
    files = len(facts.files) + sum(len(component.files) for component in facts.components)
    packages = format_count(len(facts.components), "package")
    say(f"wrote {output}: {packages}, {format_count(files, 'file')}")


def _collect_facts(subject: str, traces: list[str], where: ImageLocation) -> BillOfMaterials:
    from slimtrace.builder.describe import describe_image, describe_trace  # noqa: PLC0415
    from slimtrace.builder.full_image import become_root_for  # noqa: PLC0415
    from slimtrace.tracer.sandbox.rootless import become_root  # noqa: PLC0415
    from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415

    if not traces and _is_trace(subject):
        trace = read_trace([subject])
        become_root_for(trace, where.image)
        return describe_trace(trace, where)
    built_from = read_trace(traces) if traces else None
    become_root()
    return describe_image(subject, built_from, where)


def _is_trace(subject: str) -> bool:
    """Whether it is a file that is no image, or is named as a trace usually is."""
    from slimtrace.builder.images.read.image_path import find_path  # noqa: PLC0415
    from slimtrace.builder.images.reference import Transport, find_transport  # noqa: PLC0415

    if find_transport(subject) not in {None, Transport.ARCHIVE}:
        return False
    if not os.path.isfile(subject):
        return subject.endswith(".trace")
    try:
        return find_path(subject) is None
    except SlimtraceError:
        return not subject.endswith(".tar")


sbom.__doc__ = f"{sbom.__doc__}\n{_SBOM_HELP}"
