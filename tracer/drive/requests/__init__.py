"""Requests from what users have: lines, ``.http`` files, recordings and API descriptions."""
