"""Drives a service while it is traced: waits until it is ready, runs commands, stops it.

Commands that run on the host are not traced, so their shell is not in the image.
"""
