"""Runs an app and records what it touches. Knows nothing of images."""
