"""Replaces a Java runtime by one with only the modules that the app uses."""
