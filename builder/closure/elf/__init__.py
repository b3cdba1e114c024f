"""Reads ELF files and finds the libraries that they need, as a dynamic loader does."""
