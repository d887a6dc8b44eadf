"""Path templates of google.api.http and the table that finds the binding for a request.

Pure: text in, matches out. Source of the grammar and of the matching rules: google/api/http.proto.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

ANY = "*"
REST = "**"
ANY_METHOD = "*"

_LITERAL = re.compile(r"[^/{}*:=?#\s]+")
_FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_ESCAPED_SLASH = re.compile("(%2[Ff])")

T = TypeVar("T")


class TemplateError(ValueError):
    """A path template that google/api/http.proto does not allow."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A field bound by segments[start:end]; end is None when the last of them is `**`."""

    field_path: str
    start: int
    end: int | None
    multi: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed path template. Segments are literals (percent-decoded), `*` or, last only, `**`."""

    source: str
    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    verb: str

    def bind(self, raw_segments: list[str]) -> dict[str, str]:
        """The variables of a path that this template matches: field path -> decoded text."""
        return {
            v.field_path: _decode_many("/".join(raw_segments[v.start : v.end]))
            if v.multi
            else decode_segment(raw_segments[v.start])
            for v in self.variables
        }


def decode_segment(text: str) -> str:
    """Percent-decodes. Raises UnicodeDecodeError (a ValueError) where the bytes are no UTF-8."""
    return unquote(text, errors="strict")


def _decode_many(text: str) -> str:
    # http.proto: a variable of several segments keeps %2F as it came, else it could not be told from a separator.
    return "".join(part if part.upper() == "%2F" else decode_segment(part) for part in _ESCAPED_SLASH.split(text))


def parse_template(source: str) -> Template:
    """Raises TemplateError, which says where and why."""
    return _Parser(source).template()


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.segments: list[str] = []
        self.variables: list[Variable] = []

    def template(self) -> Template:
        if not self._take("/"):
            raise self._error("a path starts with '/'")
        if self.at < len(self.source):
            self._segments(inside_variable=False)
        verb = self._match(_LITERAL, "a verb") if self._take(":") else ""
        if self.at < len(self.source):
            raise self._error(f"unexpected {self.source[self.at]!r}")
        if REST in self.segments[:-1]:
            raise self._error("'**' must come last")
        names = [v.field_path for v in self.variables]
        if len(names) != len(set(names)):
            raise self._error("a field is bound twice")
        return Template(self.source, tuple(self.segments), tuple(self.variables), verb)

    def _segments(self, *, inside_variable: bool) -> None:
        self._segment(inside_variable)
        while self._take("/"):
            self._segment(inside_variable)

    def _segment(self, inside_variable: bool) -> None:
        if self._take("**"):
            self.segments.append(REST)
        elif self._take("*"):
            self.segments.append(ANY)
        elif self._take("{"):
            if inside_variable:
                raise self._error("a variable inside a variable")
            self._variable()
        else:
            self.segments.append(decode_segment(self._match(_LITERAL, "a segment")))

    def _variable(self) -> None:
        name = self._match(_FIELD_PATH, "a field path")
        start = len(self.segments)
        if self._take("="):
            self._segments(inside_variable=True)
        else:
            self.segments.append(ANY)
        if not self._take("}"):
            raise self._error("'}' is missing")
        rest = self.segments[-1] == REST
        multi = rest or len(self.segments) - start > 1
        self.variables.append(Variable(name, start, None if rest else len(self.segments), multi))

    def _take(self, token: str) -> bool:
        if not self.source.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self.source, self.at)
        if not found:
            raise self._error(f"{what} is missing")
        self.at = found.end()
        return found.group()

    def _error(self, why: str) -> TemplateError:
        return TemplateError(f"{self.source!r}, at {self.at}: {why}")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    target: T
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The path is known, but not with this HTTP method."""

    methods: tuple[str, ...]


@dataclass(slots=True)
class _Node(Generic[T]):
    children: dict[str, _Node[T]] = field(default_factory=dict)
    # verb -> HTTP method -> (template, target)
    ends: dict[str, dict[str, tuple[Template, T]]] = field(default_factory=dict)


class RouteTable(Generic[T]):
    """Finds the most specific template: a literal goes before `*`, and `*` before `**`, segment by segment.

    A trailing `:word` of a path is a verb when some template ends in it, and part of the last segment otherwise.
    """

    def __init__(self, entries: Iterable[tuple[str, Template, T]] = ()) -> None:
        self._root: _Node[T] = _Node()
        self._verbs: set[str] = set()
        for method, template, target in entries:
            self.add(method, template, target)

    def add(self, method: str, template: Template, target: T) -> None:
        """Raises TemplateError where another entry has the same method and the same shape of path."""
        node = self._root
        for segment in template.segments:
            node = node.children.setdefault(segment, _Node())
        methods = node.ends.setdefault(template.verb, {})
        if method in methods:
            raise TemplateError(f"{method} {template.source} is bound already, by {methods[method][0].source}")
        methods[method] = (template, target)
        if template.verb:
            self._verbs.add(template.verb)

    def find(self, method: str, raw_path: str) -> Found[T] | NotAllowed | None:
        """raw_path is still percent-encoded and has no query. Raises ValueError where it decodes to no UTF-8."""
        if not raw_path.startswith("/"):
            return None
        raw, verb = self._split(raw_path)
        segments = [decode_segment(segment) for segment in raw]
        allowed: set[str] = set()
        for node in _walk(self._root, segments, 0):
            methods = node.ends.get(verb, {})
            entry = methods.get(method) or methods.get(ANY_METHOD)
            if entry:
                template, target = entry
                return Found(target, template.bind(raw))
            allowed.update(methods)
        return NotAllowed(tuple(sorted(allowed))) if allowed else None

    def _split(self, raw_path: str) -> tuple[list[str], str]:
        path, colon, verb = raw_path.rpartition(":")
        if not (colon and verb in self._verbs):
            path, verb = raw_path, ""
        return ([] if path == "/" else path[1:].split("/")), verb


def _walk(node: _Node[T], segments: list[str], at: int) -> Iterator[_Node[T]]:
    if at == len(segments):
        yield node
    else:
        literal = node.children.get(segments[at]) if segments[at] not in (ANY, REST) else None
        if literal:
            yield from _walk(literal, segments, at + 1)
        if segments[at] and ANY in node.children:
            yield from _walk(node.children[ANY], segments, at + 1)
    if REST in node.children:
        yield node.children[REST]
