"""Writes the package databases of the slim image, which scanners read."""
