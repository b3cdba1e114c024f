"""Templates: a page that no run requested has one of its own."""

from __future__ import annotations

import re

from slimtrace.builder.closure.rules.data.family import Family, make_family_rule
from slimtrace.builder.model import Reason

_SUFFIXES = """
    .html .htm .xhtml .tmpl .tpl .template .tt .tt2 .ep .epl .erb .rhtml .haml .slim .liquid
    .mustache .hbs .handlebars .j2 .jinja .jinja2 .mako .mak .ejs .pug .jade .njk .twig .phtml
    .latte .ftl .ftlh .vm .gohtml .gotmpl .eex .heex .leex .mjml .eml .xsl .xslt .txt .xml .md
    .rtf .odt .ott .docx .dotx .tex .latex .typ
"""
_FOLDERS = re.compile(
    r"templates?|template-parts|tmpl|tpls?|views?|layouts?|partials|snippets|e?mails?|mailers?"
)

FAMILY = Family(Reason.TEMPLATE, frozenset(_SUFFIXES.split()), _FOLDERS)

RULE = make_family_rule(
    FAMILY,
    "the other templates in a folder such as `templates`, `views` or `layouts` from which a run "
    "read one; elsewhere those with the same suffix in the same folder, if no package of the "
    "system owns them",
)
