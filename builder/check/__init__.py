"""Checks that an image is what platforms expect, from its contents and from starting it."""
