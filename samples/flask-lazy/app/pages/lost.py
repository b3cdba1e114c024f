"""The page for paths that do not exist."""

import difflib

from flask import render_template_string

TEXT = (
    "{% extends 'base.html' %}{% block body %}"
    "no page {{ path }}{% if near %}: did you mean {{ near[0] }}?{% endif %}{% endblock %}\n"
)


def page(path: str, known: list[str]) -> str:
    near = difflib.get_close_matches(path, known)
    return render_template_string(TEXT, path=path, near=near)
