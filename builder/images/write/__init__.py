"""Writes layers and images."""
