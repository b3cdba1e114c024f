"""Finds the simple commands of a shell script (POSIX.1-2017, "Shell Command Language").

A scanner of its own: tree-sitter has no wheels for aarch64 with musl, and bashlex gives up on much
that scripts contain. It need not understand a script, only tell command names from other words.
Text that is no shell script gives words that are no commands.
"""

from __future__ import annotations

import re

_MAX_DEPTH = 64
"""Substitutions and subshells within each other; no script has so many."""

_SKIPPED = frozenset(
    {"if", "then", "elif", "else", "while", "until", "do", "{", "!", "time", "fi", "done", "}"}
)
"""Reserved words after which a command follows, or nothing."""

_HEADS = frozenset({"for", "select", "case", "function"})
"""Reserved words whose words up to the next separator are no command."""

_ASSIGNMENT = re.compile(r"\w+(?:\[[^]]*\])?\+?=")
_NO_WORD = " \t\n;&|()<>"
_EXPANSION = re.compile(r"\$(?:\w+|[@*#?$!-])")


def find_commands(source: str) -> list[tuple[str, ...]]:
    """Find the simple commands of a script: name and arguments.

    Quotes are removed. A word that is not constant is "".
    """
    scanner = _Scanner(source)
    while scanner.at < len(source):
        scanner.scan("")
    return scanner.commands


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        self.commands: list[tuple[str, ...]] = []
        self._words: list[str] = []
        self._delimiters: list[tuple[str, bool]] = []
        self._closings: list[str] = []

    def scan(self, closing: str) -> None:
        """Read commands up to the closing character, or to the end of the text."""
        outer, self._words = self._words, []
        self._closings.append(closing)
        patterns: list[int] = []
        """For each ``case`` that is open: how many commands precede its patterns, else -1."""
        while self.at < len(self._text):
            character = self._text[self.at]
            in_pattern = bool(patterns) and patterns[-1] >= 0
            if character == ")" and in_pattern:
                del self.commands[patterns[-1] :]
                self._words, patterns[-1] = [], -1
                self.at += 1
            elif character == closing:
                break
            elif character in "\n;&|)":
                self._end_command()
                self._skip_separator(patterns)
            elif character == "(":
                self._read_parenthesis(in_pattern=in_pattern)
            elif character in "<>":
                self._read_redirection()
            elif character in " \t" or self._text.startswith("\\\n", self.at):
                self.at += 1 if character in " \t" else 2
            elif character == "#":
                self._skip_past("\n", keep=True)
            else:
                self._read_command_word(patterns)
        self._end_command()
        self.at += 1
        self._closings.pop()
        self._words = outer

    def _end_command(self) -> None:
        if self._words and self._words[0] not in _HEADS:
            self.commands.append(tuple(self._words))
        self._words = []

    def _skip_separator(self, patterns: list[int]) -> None:
        if self._text[self.at] == "\n":
            self.at += 1
            self._skip_documents()
        elif self._text.startswith((";;", ";&"), self.at):
            self.at += 3 if self._text.startswith(";;&", self.at) else 2
            if patterns:
                patterns[-1] = len(self.commands)
        else:
            self.at += 1

    def _read_parenthesis(self, *, in_pattern: bool) -> None:
        if self._text.startswith("((", self.at):
            self._skip_balanced()
        elif in_pattern:
            self.at += 1
        elif self._words:  # a function: NAME()
            self._words = []
            self._skip_past(")")
        else:
            self.at += 1
            self._descend(")")

    def _read_redirection(self) -> None:
        operator = re.compile(r"<<-?(?!<)|[<>]\(|[<>&|]+").match(self._text, self.at)
        if operator is None:
            self.at += 1
            return
        self.at = operator.end()
        if operator[0].endswith("("):
            self._words.append("")
            self._descend(")")
            return
        while self._text[self.at : self.at + 1] in {" ", "\t"}:
            self.at += 1
        target = self._read_word()
        if operator[0] in {"<<", "<<-"}:
            self._delimiters.append((target, operator[0] == "<<-"))

    def _skip_documents(self) -> None:
        """Skip the here-documents whose operators were on the line that ended."""
        for delimiter, has_tabs in self._delimiters:
            while self.at < len(self._text):
                start = self.at
                self._skip_past("\n")
                line = self._text[start : self.at].rstrip("\n")
                if (line.lstrip("\t") if has_tabs else line) == delimiter:
                    break
        self._delimiters = []

    def _read_command_word(self, patterns: list[int]) -> None:
        start = self.at
        word = self._read_word()
        text = self._text[start : self.at]
        if text.isdigit() and self._text[self.at : self.at + 1] in {"<", ">"}:
            return
        if self._words:
            self._words.append(word)
            if self._words[0] == "case" and text == "in":
                self._words = []
                patterns.append(len(self.commands))
            elif self._words[0] == "function":
                self._words = []
        elif text == "esac":
            del patterns[-1:]
        elif text == "[[":
            self._skip_past("]]")
        elif text not in _SKIPPED and not _ASSIGNMENT.match(text):
            self._words.append(word)

    def _read_word(self) -> str:
        """Read a word, with the commands in it; "" if it is not constant."""
        parts: list[str] = []
        is_constant = True
        while self.at < len(self._text) and self._text[self.at] not in _NO_WORD:
            character = self._text[self.at]
            if character == self._closings[-1] == "`":
                break
            if character == "'":
                parts.append(self._read_quoted())
            elif character == '"':
                part = self._read_string()
                parts.append(part or "")
                is_constant = is_constant and part is not None
            elif character in "$`":
                is_constant = self._read_expansion() and is_constant
            elif character == "\\":
                parts.append(self._text[self.at + 1 : self.at + 2].replace("\n", ""))
                self.at += 2
            else:
                parts.append(character)
                self.at += 1
                if character == "=" and self._text.startswith("(", self.at):
                    self._skip_balanced()  # an array
        return "".join(parts) if is_constant else ""

    def _read_quoted(self) -> str:
        start = self.at + 1
        self.at = start
        self._skip_past("'")
        return self._text[start : self.at - 1]

    def _read_string(self) -> str | None:
        """Read a string in double quotes; None if it is not constant."""
        parts: list[str] = []
        is_constant = True
        self.at += 1
        while self.at < len(self._text) and self._text[self.at] != '"':
            character = self._text[self.at]
            if character in "$`":
                is_constant = self._read_expansion() and is_constant
            elif character == "\\":
                parts.append(self._text[self.at + 1 : self.at + 2])
                self.at += 2
            else:
                parts.append(character)
                self.at += 1
        self.at += 1
        return "".join(parts) if is_constant else None

    def _read_expansion(self) -> bool:
        """Read what a dollar or a back-quote begins; return whether it is only that character."""
        if self._text[self.at] == "`":
            self.at += 1
            self._descend("`")
        elif self._text.startswith("$((", self.at):
            self.at += 1
            self._skip_balanced()
        elif self._text.startswith("$(", self.at):
            self.at += 2
            self._descend(")")
        elif self._text.startswith("${", self.at):
            self._skip_braces()
        elif match := _EXPANSION.match(self._text, self.at):
            self.at = match.end()
        else:
            self.at += 1
            return True
        return False

    def _skip_balanced(self) -> None:
        """Skip an expression or an array, to its last parenthesis; commands in it count."""
        depth = 0
        while self.at < len(self._text):
            if self._text[self.at] in "$`":
                self._read_expansion()
                continue
            depth += {"(": 1, ")": -1}.get(self._text[self.at], 0)
            self.at += 1
            if depth == 0:
                return

    def _skip_braces(self) -> None:
        depth = 0
        while self.at < len(self._text):
            depth += {"{": 1, "}": -1}.get(self._text[self.at], 0)
            self.at += 1
            if depth == 0:
                return

    def _descend(self, closing: str) -> None:
        if len(self._closings) < _MAX_DEPTH:
            self.scan(closing)
        else:
            self.at = len(self._text)

    def _skip_past(self, text: str, *, keep: bool = False) -> None:
        """Skip to the end of the next such text, or to its start."""
        found = self._text.find(text, self.at)
        self.at = len(self._text) if found < 0 else found + (0 if keep else len(text))
