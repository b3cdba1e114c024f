"""Finds the package that a file of the full image belongs to: of the OS, Python, Node or Ruby."""
