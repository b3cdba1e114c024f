"""Writes what was decoded to the trace."""
