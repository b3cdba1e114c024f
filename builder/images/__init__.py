"""Reads full images and writes slim ones."""
