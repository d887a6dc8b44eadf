"""Parameters: what each type takes, and which level wins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.parameters import (
    MASK,
    Parameter,
    ParameterType,
    check_declarations,
    declared,
    masked,
    parsed,
    resolved,
    word,
)

T = ParameterType


def one(kind: ParameterType, **fields: Any) -> Parameter:
    return Parameter("p", kind, **fields)


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (one(T.STRING), "a b", "a b"),
        (one(T.INTEGER, minimum=1, maximum=20), "20", 20),
        (one(T.NUMBER), "-1.5e3", -1500.0),
        (one(T.BOOL), "true", True),
        (one(T.CHOICE, choices=("easy", "hard")), "hard", "hard"),
        (one(T.SECRET), "s3cret", "s3cret"),
        (one(T.PORT), "game", "game"),
    ],
)
def test_each_type_reads_its_text(parameter: Parameter, text: str, value: object) -> None:
    assert parsed(parameter, text, ["game"], "parameters.p") == value


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (one(T.STRING), "two\nlines"),
        (one(T.STRING), "nul\0"),
        (one(T.STRING), "line\u2028separator"),
        (one(T.INTEGER), "1.5"),
        (one(T.INTEGER), "１"),
        (one(T.INTEGER, maximum=20), "21"),
        (one(T.NUMBER), "nan"),
        (one(T.BOOL), "True"),
        (one(T.CHOICE, choices=("easy",)), "hard"),
        (one(T.SECRET), MASK),
        (one(T.PORT), "other"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(parameter: Parameter, text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(parameter, text, ["game"], "parameters.p")
    assert refused.value.field == "parameters.p"


def test_the_refusal_of_a_secret_does_not_tell_it() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(one(T.SECRET), "hunter2\n", [], "parameters.p")
    assert "hunter2" not in str(refused.value)


def test_session_wins_over_deployment_over_game() -> None:
    game = (Parameter("a", T.STRING, default="game"), Parameter("b", T.STRING, default="game"), one(T.STRING))
    deployment = (Parameter("b", T.STRING, default="deployment"), Parameter("p", T.STRING, default="deployment"))
    merged = declared(game, deployment)
    assert resolved(merged, {"p": "session"}, {}) == {"a": "game", "b": "deployment", "p": "session"}


def test_a_deployment_keeps_the_type_and_what_it_leaves_unset() -> None:
    above = one(T.INTEGER, default="3", minimum=1, maximum=9, description="how many")
    assert declared((above,), (one(T.INTEGER, maximum=5),))[0] == one(
        T.INTEGER, default="3", minimum=1, maximum=5, description="how many"
    )
    with pytest.raises(InvalidRequest, match="INTEGER"):
        declared((above,), (one(T.STRING),))


@pytest.mark.parametrize(
    ("given_", "reason"),
    [({"q": "1"}, "PARAMETER_UNKNOWN"), ({}, "PARAMETER_MISSING"), ({"p": "1", "f": "2"}, "PARAMETER_FIXED")],
)
def test_unknown_missing_and_fixed_are_refused(given_: dict[str, str], reason: str) -> None:
    parameters = (one(T.STRING), Parameter("f", T.STRING, default="1", fixed=True))
    with pytest.raises(InvalidRequest) as refused:
        resolved(parameters, given_, {})
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "parameter",
    [
        one(T.CHOICE),
        one(T.STRING, choices=("a",)),
        one(T.STRING, minimum=1),
        one(T.INTEGER, minimum=2, maximum=1),
        one(T.INTEGER, default="x"),
        one(T.STRING, fixed=True),
        one(T.NUMBER, maximum=float("inf")),
    ],
)
def test_declarations_that_contradict_themselves_are_refused(parameter: Parameter) -> None:
    with pytest.raises(InvalidRequest):
        check_declarations([parameter], [], "deployment.parameters")


def test_masked_hides_secrets_only() -> None:
    parameters = (one(T.SECRET), Parameter("q", T.INTEGER))
    assert masked(parameters, {"p": "s3cret", "q": 1}) == {"p": MASK, "q": 1}


@given(st.integers(-(10**17), 10**17))
def test_a_whole_number_survives(number: int) -> None:
    assert parsed(one(T.INTEGER), word(number), [], "p") == number
