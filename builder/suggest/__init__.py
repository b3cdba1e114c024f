"""Suggests files that a slim image may lack: neither touched nor implied, but with a clue."""
