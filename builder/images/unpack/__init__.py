"""Applies the layers of a full image to a folder."""
