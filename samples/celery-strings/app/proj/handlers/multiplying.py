"""Multiplication, which takes its time to import."""

from fractions import Fraction


def multiply(left: int, right: int) -> int:
    return int(Fraction(left) * Fraction(right))
