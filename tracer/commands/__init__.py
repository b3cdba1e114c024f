"""The tracer's commands, one in each module."""
