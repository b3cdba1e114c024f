"""The engine ``notify``: seccomp user notification."""
