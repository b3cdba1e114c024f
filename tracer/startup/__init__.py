"""Starts an image once, untraced, to see how it behaves as a service."""
