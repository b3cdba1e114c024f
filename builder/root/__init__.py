"""Reads the file system of the full image."""
