"""The builder's commands: each parses, calls one function and prints."""
