"""The tracer's commands: each parses, calls one function and prints."""
