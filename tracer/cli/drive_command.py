"""A command that drives an app: keeps the order of its options, which typer does not give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ORDER = "slimtrace.option_order"
"""The key of ``context.meta`` for the parameters of the options, as they were given."""
_CRAWL = "--crawl"
_DEFAULT_DEPTH = "1"


class DriveCommand(TyperCommand):
    """A command with the options of :mod:`slimtrace.tracer.cli.options` that drive an app."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        has_command = not ctx.allow_interspersed_args
        args = [*add_depth(args, self._count_values(), has_command=has_command)]
        _, _, order = self.make_parser(ctx).parse_args(args=[*args])
        ctx.meta[ORDER] = tuple(parameter.name for parameter in order)
        return super().parse_args(ctx, args)

    def _count_values(self) -> Mapping[str, int]:
        """How many values follow each option."""
        return {
            name: 0 if getattr(parameter, "is_flag", False) else parameter.nargs
            for parameter in self.params
            for name in parameter.opts
        }


def add_depth(
    args: Sequence[str], values: Mapping[str, int], *, has_command: bool = True
) -> Iterator[str]:
    """Yield arguments in which ``--crawl`` has its value: typer has no values that may be left out.

    :param values: how many values follow each option.
    :param has_command: whether the first argument is a command, which may have such an option.
    """
    index = 0
    while index < len(args):
        arg = args[index]
        if arg == "--" or (has_command and not arg.startswith("-")):
            break
        end = index + 1 + values.get(arg, 0)
        if arg == _CRAWL and not "".join(args[index + 1 : end]).isdecimal():
            yield f"{_CRAWL}={_DEFAULT_DEPTH}"
            index += 1
            continue
        yield from args[index:end]
        index = end
    yield from args[index:]
