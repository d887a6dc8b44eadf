"""Rendered files, read back by the parsers that games use."""

from __future__ import annotations

import configparser
import json
from typing import Any
from xml.etree import ElementTree

import javaproperties
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.parameters import Parameter, ParameterType, Value, parsed
from controlplane.domain.render import ConfigFile, FileFormat, check_path, merge_patch, render_file, render_text

F = FileFormat


def file(kind: FileFormat, content: dict[str, Any] | None = None, template: str = "") -> ConfigFile:
    return ConfigFile("config", "server.cfg", kind, content or {}, template)


def allowed(text: str) -> bool:
    try:
        parsed(Parameter("p", ParameterType.STRING), text, [], "p")
    except InvalidRequest:
        return False
    return True


lines = st.text(max_size=40).filter(allowed)
plain_keys = st.text(alphabet="abcXYZ_-09", min_size=1, max_size=12)


@given(st.dictionaries(st.text(min_size=1, max_size=12), lines, max_size=5))
def test_properties_read_back(content: dict[str, str]) -> None:
    text = render_file(file(F.PROPERTIES, {k: f"{{{{v_{i}}}}}" for i, k in enumerate(content)}), {
        f"v_{i}": value for i, value in enumerate(content.values())
    })  # fmt: skip
    assert text.isascii()
    assert javaproperties.loads(text) == content


@given(st.dictionaries(plain_keys, lines.map(str.strip), max_size=5))
def test_ini_reads_back(values: dict[str, str]) -> None:
    text = render_file(
        file(F.INI, {"server": {k: f"{{{{v_{i}}}}}" for i, k in enumerate(values)}}),
        {f"v_{i}": value for i, value in enumerate(values.values())},
    )
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    assert dict(parser["server"]) == values


trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | lines,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(lines, inner, max_size=3),
    max_leaves=8,
)


def without_references(tree: Any) -> Any:
    """The tree as a deployment would have to write it, so that braces stand for themselves."""
    if isinstance(tree, dict):
        return {key: without_references(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [without_references(item) for item in tree]
    return tree.replace("{{", "\\{{") if isinstance(tree, str) else tree


@given(st.dictionaries(lines, trees, max_size=3))
def test_json_and_yaml_read_back(content: dict[str, Any]) -> None:
    escaped = without_references(content)
    assert json.loads(render_file(file(F.JSON, escaped), {})) == content
    assert yaml.safe_load(render_file(file(F.YAML, escaped), {})) == content


@given(lines, lines)
def test_xml_reads_back(attribute: str, text: str) -> None:
    content = {"server": {"@name": "{{a}}", "motd": "{{t}}", "admin": ["x", "y"]}}
    root = ElementTree.fromstring(render_file(file(F.XML, content), {"a": attribute, "t": text}))
    assert root.tag == "server"
    assert root.get("name") == attribute
    assert (root.findtext("motd") or "") == text
    assert [admin.text for admin in root.findall("admin")] == ["x", "y"]


def test_a_lone_reference_keeps_its_type_and_a_mixed_one_is_text() -> None:
    values: dict[str, Value] = {"n": 20, "on": True, "s": "x"}
    content = {"n": "{{n}}", "on": "{{ on }}", "mixed": "{{n}}-{{s}}", "braces": "\\{{n}}"}
    assert json.loads(render_file(file(F.JSON, content), values)) == {
        "n": 20,
        "on": True,
        "mixed": "20-x",
        "braces": "{{n}}",
    }


@given(lines)
def test_a_template_gets_no_line_more_than_it_has(value: str) -> None:
    text = render_file(file(F.TEMPLATE, template="a = {{v}}\nb = 1\n"), {"v": value})
    assert len(text.splitlines()) == 2


def test_a_template_error_names_the_file_and_the_line() -> None:
    with pytest.raises(InvalidRequest) as refused:
        render_file(file(F.TEMPLATE, template="fine\nport={{prot}}\n"), {"port": 1})
    assert refused.value.reason == "PARAMETER_UNDECLARED"
    assert refused.value.details == {"file": "config/server.cfg", "line": "2"}
    with pytest.raises(InvalidRequest) as broken:
        render_text("one\ntwo {{ three\n", {}, "x")
    assert (broken.value.reason, broken.value.details["line"]) == ("TEMPLATE_BROKEN", "2")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (F.INI, {"top": "no section"}),
        (F.INI, {"s": {"k": "two\nlines"}}),
        (F.INI, {"s": {"a=b": "x"}}),
        (F.INI, {"a]b": {}}),
        (F.XML, {"a": "", "b": ""}),
        (F.XML, {"no name": ""}),
        (F.XML, {"a": "\x00"}),
        (F.PROPERTIES, {"a": ["list"]}),
        (F.JSON, {"a": "{{missing}}"}),
    ],
)
def test_what_a_format_cannot_hold_is_refused(kind: FileFormat, content: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        render_file(file(kind, content), {})


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", "a//b", "", ".", "a/", "a\\b", "a\0", "a b"])
def test_paths_stay_below(path: str) -> None:
    with pytest.raises(InvalidRequest):
        check_path(path, "x")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    # Of RFC 7396, appendix A.
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patches_are_merged_by_the_rule(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result
