"""Writes the decoded calls to the trace."""
