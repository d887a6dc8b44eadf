"""Path templates and the route table, with properties over generated templates and paths."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.gateway.http_rule import (
    ANY,
    REST,
    Found,
    NotAllowed,
    RouteTable,
    TemplateError,
    parse_template,
)


def table(*entries: str) -> RouteTable[str]:
    made: RouteTable[str] = RouteTable()
    for entry in entries:
        method, path = entry.split(" ")
        made.add(method, parse_template(path), entry)
    return made


def test_a_template_in_full():
    template = parse_template("/v1/{a.b=x/*/y/*}/z/{rest=**}:go")
    assert template.segments == ("v1", "x", ANY, "y", ANY, "z", REST)
    assert [(v.field_path, v.start, v.end, v.multi) for v in template.variables] == [
        ("a.b", 1, 5, True),
        ("rest", 6, None, True),
    ]
    assert template.verb == "go"


@pytest.mark.parametrize(
    "source",
    ["", "v1", "/v1/", "//a", "/v1/{", "/v1/{a", "/v1/{a=}", "/v1/{a={b}}", "/v1/{1a}", "/v1/**/x", "/v1/{a=**}/x",
     "/v1/{a}/{a}", "/v1/a:", "/v1/a:b:c", "/v1/a:b/c", "/v1/***", "/v1/a*", "/v1/{a}b", "/v1/a b", "/v1/}"],
)  # fmt: skip
def test_what_is_no_template_is_refused(source):
    with pytest.raises(TemplateError):
        parse_template(source)


def test_the_most_specific_template_is_found_whatever_the_order():
    paths = ["GET /v1/{a=**}", "GET /v1/{a}/x", "GET /v1/b/{a}", "GET /v1/b/x", "GET /v1/{a}/{b}"]
    for order in (paths, paths[::-1]):
        found = table(*order)
        assert found.find("GET", "/v1/b/x").target == "GET /v1/b/x"
        assert found.find("GET", "/v1/b/y").target == "GET /v1/b/{a}"
        assert found.find("GET", "/v1/c/x").target == "GET /v1/{a}/x"
        assert found.find("GET", "/v1/c/y").target == "GET /v1/{a}/{b}"
        assert found.find("GET", "/v1/b/x/y").target == "GET /v1/{a=**}"
        assert found.find("GET", "/v1").target == "GET /v1/{a=**}"


def test_a_less_specific_template_serves_the_method_that_a_more_specific_one_lacks():
    found = table("GET /v1/special", "POST /v1/{name}")
    assert found.find("POST", "/v1/special") == Found("POST /v1/{name}", {"name": "special"})
    assert found.find("PUT", "/v1/special") == NotAllowed(("GET", "POST"))
    assert found.find("PUT", "/v2/special") is None


def test_a_colon_is_a_verb_only_where_a_template_says_so():
    found = table("GET /v1/{name=a/*}", "POST /v1/{name=a/*}:stop")
    assert found.find("POST", "/v1/a/b:stop") == Found("POST /v1/{name=a/*}:stop", {"name": "a/b"})
    assert found.find("GET", "/v1/a/b:stop") == NotAllowed(("POST",))
    assert found.find("GET", "/v1/a/b:other") == Found("GET /v1/{name=a/*}", {"name": "a/b:other"})
    assert found.find("GET", "/v1/a/b%3Astop") == Found("GET /v1/{name=a/*}", {"name": "a/b:stop"})


def test_segments_are_never_empty_and_slashes_count():
    found = table("GET /v1/{name}", "GET /")
    assert found.find("GET", "/v1/") is None
    assert found.find("GET", "/v1/a/") is None
    assert found.find("GET", "//v1/a") is None
    assert found.find("GET", "/").target == "GET /"
    assert found.find("GET", "") is None


def test_decoding_keeps_an_escaped_slash_apart_only_where_it_could_be_mistaken():
    found = table("GET /v1/one/{name}", "GET /v1/many/{name=**}")
    assert found.find("GET", "/v1/one/a%2fb%25").variables == {"name": "a/b%"}
    assert found.find("GET", "/v1/many/a%2fb/%25c").variables == {"name": "a%2fb/%c"}
    with pytest.raises(UnicodeDecodeError):
        found.find("GET", "/v1/one/%ff")


def test_a_star_in_a_path_is_plain_text():
    found = table("GET /v1/{name}", "GET /v1/{name}/x")
    assert found.find("GET", "/v1/*").variables == {"name": "*"}
    assert found.find("GET", "/v1/**/x").variables == {"name": "**"}


def test_two_entries_of_one_shape_are_refused():
    with pytest.raises(TemplateError, match="bound already"):
        table("GET /v1/{a}", "GET /v1/{b}")


def test_a_custom_method_may_mean_any():
    found = table("* /v1/{a}", "GET /v1/{b}")
    assert found.find("GET", "/v1/x").target == "GET /v1/{b}"
    assert found.find("BREW", "/v1/x").target == "* /v1/{a}"


literals = st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True)
values = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@st.composite
def templates(draw):
    """A template, a path that fits it, and the variables that must come out."""
    pieces, path, expected = [], [], {}
    count = draw(st.integers(1, 4))
    for index in range(count):
        kind = draw(st.sampled_from(["literal", "star", "single", "multi"] + ["rest"] * (index == count - 1)))
        name = f"f{index}"
        if kind == "literal":
            piece = draw(literals)
            pieces.append(piece)
            path.append(piece)
        elif kind in ("star", "single"):
            value = draw(values)
            pieces.append("*" if kind == "star" else "{" + name + "}")
            path.append(quote(value, safe=""))
            if kind == "single":
                expected[name] = value
        elif kind == "multi":
            literal, value = draw(literals), draw(values.filter(lambda text: "/" not in text))
            pieces.append("{" + f"{name}={literal}/*" + "}")
            path.append(f"{literal}/{quote(value, safe='')}")
            expected[name] = f"{literal}/{value}"
        else:
            parts = draw(st.lists(values.filter(lambda text: "/" not in text), max_size=3))
            pieces.append("{" + name + "=**}")
            path.extend(quote(part, safe="") for part in parts)
            expected[name] = "/".join(parts)
    verb = draw(st.sampled_from(["", ":verb"]))
    return "/" + "/".join(pieces) + verb, "/" + "/".join(path) + verb, expected


@given(templates())
def test_whatever_fits_a_template_is_found_with_its_variables(case):
    source, path, expected = case
    found = RouteTable([("GET", parse_template(source), source)]).find("GET", path)
    assert found == Found(source, expected)


@given(templates(), st.text(st.characters(codec="ascii"), max_size=20))
def test_no_path_breaks_the_table(case, path):
    source, _, _ = case
    found = RouteTable([("GET", parse_template(source), source)])
    try:
        result = found.find("GET", "/" + path)
    except UnicodeDecodeError:
        return
    assert result is None or set(result.variables) == {v.field_path for v in parse_template(source).variables}
