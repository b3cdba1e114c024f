"""Starts the app: on the host, or in the sandbox of an image."""
