"""The engines ``ptrace`` and ``attach``."""
