"""Drives a service while it is traced: waits until it is ready, runs commands, stops it.

What drives it from outside is no tracee, so its shell is not in the image.
"""
