"""Adds what every slim image has, and removes what none may have.

All are pure functions from Selection to Selection.
"""
