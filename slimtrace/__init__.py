"""Runs an app, records every file that it uses, and builds a container image of those files.

:mod:`slimtrace.tracer` runs and records, :mod:`slimtrace.builder` builds from the record.
In the repository both lie at the top level; here they are links, in a wheel plain folders.
"""
