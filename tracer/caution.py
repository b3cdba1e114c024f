"""Warnings: what is so, and what the user can do about it."""

from __future__ import annotations

from typing import Self


class Caution(str):
    """A warning as one line of text.

    :ivar fact: what is so.
    :ivar next_step: the part of it that says what the user can do.
    """

    __slots__ = ("fact", "next_step")

    fact: str
    next_step: str

    def __new__(cls, fact: str, next_step: str) -> Self:
        caution = super().__new__(cls, f"{fact}; {next_step}")
        caution.fact, caution.next_step = fact, next_step
        return caution


class UnmatchedCaution(Caution):
    """A pattern of the user matches nothing: an error with ``--strict``."""

    __slots__ = ()
