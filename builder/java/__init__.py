"""A Java runtime of the modules that the app uses, in the place of the full image's whole one."""
