"""The program's version, by itself: importlib.metadata takes 20 ms to say it."""

VERSION = "0.1.0"
