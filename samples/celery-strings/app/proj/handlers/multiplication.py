"""Multiplication; imports fractions, which is slow."""

from fractions import Fraction


def multiply(left: int, right: int) -> int:
    return int(Fraction(left) * Fraction(right))
