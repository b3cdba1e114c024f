"""Packages of languages' own installers: one module for each language."""
