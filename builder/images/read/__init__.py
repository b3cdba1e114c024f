"""Finds a full image by its name and reads its documents."""
