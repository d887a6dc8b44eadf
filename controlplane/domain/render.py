"""Templates and configuration files: {{references}} replaced, then written in the file's own format.

Values are put into trees before a format's own writer sees them, so that none can break out of its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

import yaml

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.parameters import Value, word

MAX_FILE_BYTES = 256 << 10
MAX_DEPTH = 20
MAX_NODES = 10_000
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,100}")
_REFERENCE = re.compile(r"\\\{\{|\{\{\s*([a-z][a-z0-9_.-]*)\s*\}\}|\{\{")
_XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_INI_NAME = re.compile(
    r"[^\s=:\[\]#;\x00-\x1f\x7f-\x9f\u2028\u2029]([^=:\[\]\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s=:\[\]])?"
)
# XML 1.0, section 2.2; and no lone surrogate, which UTF-8 cannot say.
_UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# A tree: null, true, numbers, text, lists and objects, as JSON has them.
Tree = Any


class FileFormat(StrEnum):
    PROPERTIES = "PROPERTIES"
    INI = "INI"
    JSON = "JSON"
    YAML = "YAML"
    XML = "XML"
    TEMPLATE = "TEMPLATE"


@dataclass(frozen=True)
class ConfigFile:
    """A file inside a volume. `content` is the tree of every format but TEMPLATE, which has `template`."""

    volume: str
    path: str
    format: FileFormat
    content: Mapping[str, Any] = field(default_factory=dict)
    template: str = ""

    @property
    def name(self) -> str:
        return f"{self.volume}/{self.path}"


def check_path(path: str, where: str) -> None:
    """Raises InvalidRequest unless `path` is relative and stays below where it starts."""
    parts = path.split("/")
    if len(path) > 255 or any(not _SEGMENT.fullmatch(part) or part in (".", "..") for part in parts):
        raise InvalidRequest(
            "PATH_INVALID",
            f"'{path[:100]}' must be a relative path of letters, digits, '.', '_' and '-', without '..'",
            field=where,
        )


def below(parent: str, path: str) -> bool:
    """Whether two relative paths are the same, or the second lies below the first."""
    return PurePosixPath(path).is_relative_to(PurePosixPath(parent))


def render_text(text: str, values: Mapping[str, Value], where: str) -> str:
    """Raises InvalidRequest naming `where` and the line of what is wrong."""
    return _REFERENCE.sub(lambda match: _word_of(match, text, values, where), text)


def _word_of(match: re.Match[str], text: str, values: Mapping[str, Value], where: str) -> str:
    if match[0].startswith("\\"):
        return "{{"
    line = text.count("\n", 0, match.start()) + 1
    if match[1] is None:
        raise _wrong("TEMPLATE_BROKEN", where, f"line {line}: '{{{{' begins no {{{{name}}}}", line)
    if match[1] not in values:
        raise _wrong("PARAMETER_UNDECLARED", where, f"line {line}: there is no parameter '{match[1]}'", line)
    return word(values[match[1]])


def _wrong(reason: str, where: str, what: str, line: int = 1) -> InvalidRequest:
    return InvalidRequest(reason, f"{where}: {what}", field=where, file=where, line=str(line))


def merge_patch(target: Tree, patch: Tree) -> Tree:
    """RFC 7396: objects are merged by key, null removes, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def render_file(file: ConfigFile, values: Mapping[str, Value]) -> str:
    """The file's text; the same for the same input, whatever the order of its keys.

    Raises InvalidRequest naming the file, and the line or key."""
    if file.format is FileFormat.TEMPLATE:
        text = render_text(file.template, values, file.name)
    else:
        _check_size(file.content, file.name)
        text = _WRITERS[file.format](_filled(file.content, values, file.name, ""), file.name)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_FILE_BYTES:
        raise _wrong("FILE_TOO_LARGE", file.name, f"at most {MAX_FILE_BYTES} bytes")
    return text


def _check_size(tree: Tree, where: str) -> None:
    level, nodes = [tree], 0
    for _ in range(MAX_DEPTH):
        children: list[Tree] = []
        for node in level:
            children += node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
        nodes += len(children)
        level = children
        if not level:
            return
        if nodes > MAX_NODES:
            break
    raise _wrong("FILE_TOO_LARGE", where, f"at most {MAX_DEPTH} levels and {MAX_NODES} values")


def _filled(tree: Tree, values: Mapping[str, Value], where: str, key: str) -> Tree:
    """The tree with its strings rendered and its keys in order."""
    if isinstance(tree, Mapping):
        return {name: _filled(tree[name], values, where, f"{key}.{name}" if key else name) for name in sorted(tree)}
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [_filled(item, values, where, f"{key}[{index}]") for index, item in enumerate(tree)]
    if not isinstance(tree, str):
        return tree
    whole = _REFERENCE.fullmatch(tree)
    if whole is not None and whole[1] in values:
        return values[whole[1]]
    return render_text(tree, values, f"{where} {key}")


def _scalar(value: Tree, where: str, key: str) -> str:
    if isinstance(value, (list, dict)):
        raise _wrong("VALUE_UNFIT", where, f"'{key}' must be a single value in this format")
    return "" if value is None else word(value)


def _properties(tree: Tree, where: str) -> str:
    lines: list[str] = []

    def flatten(branch: Tree, prefix: str) -> None:
        for name, value in branch.items():
            key = f"{prefix}{name}"
            if isinstance(value, dict):
                flatten(value, f"{key}.")
            else:
                text = _scalar(value, where, key)
                lines.append(f"{_escaped(key, in_key=True)}={_escaped(text, in_key=False)}\n")

    flatten(tree, "")
    return "".join(lines)


def _escaped(text: str, *, in_key: bool) -> str:
    """As java.util.Properties.store writes it: ASCII, with \\uXXXX for UTF-16 units beyond."""
    named = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f", "\\": "\\\\"}
    out: list[str] = []
    for index, character in enumerate(text):
        if character in named:
            out.append(named[character])
        elif character in "=:#!" or (character == " " and (in_key or index == 0)):
            out.append(f"\\{character}")
        elif " " <= character <= "~":
            out.append(character)
        else:
            units = character.encode("utf-16-be", "surrogatepass").hex().upper()
            out.extend(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    return "".join(out)


def _ini(tree: Tree, where: str) -> str:
    lines: list[str] = []
    for section, keys in tree.items():
        if not isinstance(keys, dict):
            raise _wrong("VALUE_UNFIT", where, f"'{section}' must be a section: an object of keys")
        lines.append(f"[{_ini_name(section, where)}]\n")
        for name, value in keys.items():
            text = _scalar(value, where, f"{section}.{name}")
            if text != text.strip() or _UNWRITABLE.search(text) or len(text.splitlines()) > 1:
                raise _wrong("VALUE_UNFIT", where, f"'{section}.{name}' must be one line without spaces around it")
            lines.append(f"{_ini_name(name, where)} = {text}\n")
    return "".join(lines)


def _ini_name(name: str, where: str) -> str:
    if not _INI_NAME.fullmatch(name) or _UNWRITABLE.search(name) or name == "DEFAULT":
        raise _wrong("VALUE_UNFIT", where, f"'{name[:100]}' cannot be a name in this format")
    return name


def _json(tree: Tree, where: str) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=True) + "\n"


def _yaml(tree: Tree, where: str) -> str:
    text: str = yaml.safe_dump(tree, sort_keys=True, allow_unicode=False, default_flow_style=False)
    return text


def _xml(tree: Tree, where: str) -> str:
    if len(tree) != 1:
        raise _wrong("VALUE_UNFIT", where, "an XML file has exactly one root")
    ((name, branch),) = tree.items()
    if isinstance(branch, list):
        raise _wrong("VALUE_UNFIT", where, "an XML file has exactly one root")
    text: str = ElementTree.tostring(_element(name, branch, where), encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _element(name: str, branch: Tree, where: str) -> ElementTree.Element:
    element = ElementTree.Element(_xml_name(name, where))
    if not isinstance(branch, dict):
        element.text = _xml_text(_scalar(branch, where, name), where, name)
        return element
    for key, value in branch.items():
        if key.startswith("@"):
            element.set(_xml_name(key[1:], where), _xml_text(_scalar(value, where, key), where, key))
        elif key == "#text":
            element.text = _xml_text(_scalar(value, where, key), where, key)
        else:
            for item in value if isinstance(value, list) else [value]:
                element.append(_element(key, item, where))
    return element


def _xml_name(name: str, where: str) -> str:
    if not _XML_NAME.fullmatch(name):
        raise _wrong("VALUE_UNFIT", where, f"'{name[:100]}' cannot be a name in XML")
    return name


def _xml_text(text: str, where: str, key: str) -> str:
    if _UNWRITABLE.search(text) or "\r" in text:
        raise _wrong("VALUE_UNFIT", where, f"'{key}' has characters that XML cannot hold")
    return text


_WRITERS: Mapping[FileFormat, Callable[[Tree, str], str]] = {
    FileFormat.PROPERTIES: _properties,
    FileFormat.INI: _ini,
    FileFormat.JSON: _json,
    FileFormat.YAML: _yaml,
    FileFormat.XML: _xml,
}
