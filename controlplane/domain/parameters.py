"""Parameters: what a game may be told, declared with types and defaults; session over deployment over game.

Values travel and lie as text, which the type reads. Every text is one line, so that none can add a line to a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from controlplane.domain.errors import InvalidRequest

MASK = "********"
MAX_PARAMETERS = 200
MAX_TEXT_CHARS = 4096

Value = str | int | float | bool


class ParameterType(StrEnum):
    STRING = "STRING"
    INTEGER = "INTEGER"
    NUMBER = "NUMBER"
    BOOL = "BOOL"
    CHOICE = "CHOICE"
    SECRET = "SECRET"  # noqa: S105 - a word of the API
    PORT = "PORT"


NUMERIC = (ParameterType.INTEGER, ParameterType.NUMBER)


@dataclass(frozen=True)
class Parameter:
    """`default` None: every session must give a value. `fixed`: no session may give another one."""

    name: str
    type: ParameterType
    description: str = ""
    default: str | None = field(default=None, repr=False)
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    fixed: bool = False


def declared(
    of_game: Sequence[Parameter], of_deployment: Sequence[Parameter], field: str = "deployment.parameters"
) -> tuple[Parameter, ...]:
    """All declarations, by name; a repeated one keeps its type and takes over what it leaves unset.

    Raises InvalidRequest."""
    merged = {parameter.name: parameter for parameter in of_game}
    if len({p.name for p in of_deployment}) < len(of_deployment):
        raise InvalidRequest("PARAMETER_DECLARED_TWICE", "each parameter is declared once", field=field)
    for parameter in of_deployment:
        above = merged.get(parameter.name)
        merged[parameter.name] = parameter if above is None else _over(above, parameter, field)
    if len(merged) > MAX_PARAMETERS:
        raise InvalidRequest("TOO_MANY_PARAMETERS", f"at most {MAX_PARAMETERS} parameters", field=field)
    return tuple(merged[name] for name in sorted(merged))


def _over(above: Parameter, parameter: Parameter, field: str) -> Parameter:
    if above.type is not parameter.type:
        raise InvalidRequest(
            "PARAMETER_TYPE_CHANGED", f"the game declares '{above.name}' as {above.type}; keep that type", field=field
        )
    return replace(
        parameter,
        description=parameter.description or above.description,
        default=above.default if parameter.default is None else parameter.default,
        choices=parameter.choices or above.choices,
        minimum=above.minimum if parameter.minimum is None else parameter.minimum,
        maximum=above.maximum if parameter.maximum is None else parameter.maximum,
        fixed=parameter.fixed or above.fixed,
    )


def check_declarations(parameters: Iterable[Parameter], ports: Iterable[str] | None, field: str) -> None:
    """Raises InvalidRequest naming the parameter: its rules and its default must fit its type. `ports` None: the
    ports are not known yet."""
    known = None if ports is None else frozenset(ports)
    names: set[str] = set()
    for parameter in parameters:
        where = f"{field}.{parameter.name}"
        if parameter.name in names:
            raise InvalidRequest("PARAMETER_DECLARED_TWICE", f"'{parameter.name}' is declared twice", field=where)
        names.add(parameter.name)
        _check_rules(parameter, where)
        if parameter.default is not None and not (parameter.type is ParameterType.PORT and known is None):
            parsed(parameter, parameter.default, known or frozenset(), where)


def _check_rules(parameter: Parameter, where: str) -> None:
    low, high = parameter.minimum, parameter.maximum
    if (parameter.type is ParameterType.CHOICE) != bool(parameter.choices):
        raise InvalidRequest("PARAMETER_CHOICES", "choices belong to a CHOICE, which needs them", field=where)
    if (low is not None or high is not None) and parameter.type not in NUMERIC:
        raise InvalidRequest("PARAMETER_RANGE", "minimum and maximum belong to numbers", field=where)
    if any(bound is not None and not math.isfinite(bound) for bound in (low, high)):
        raise InvalidRequest("PARAMETER_RANGE", "minimum and maximum must be finite", field=where)
    if low is not None and high is not None and low > high:
        raise InvalidRequest("PARAMETER_RANGE", "minimum is above maximum", field=where)
    if parameter.fixed and parameter.default is None:
        raise InvalidRequest("PARAMETER_FIXED", "a fixed parameter needs a default", field=where)


def parsed(parameter: Parameter, text: str, ports: Iterable[str], field: str) -> Value:
    """The value that `text` means; of a PORT the port's name. Raises InvalidRequest, without the text of a secret."""

    def refused(what: str) -> InvalidRequest:
        return InvalidRequest("PARAMETER_INVALID", f"parameter '{parameter.name}' {what}", field=field)

    kind = parameter.type
    if len(text) > MAX_TEXT_CHARS or not _one_line(text):
        raise refused(f"must be one line of at most {MAX_TEXT_CHARS} printable characters")
    if kind is ParameterType.SECRET and text == MASK:
        raise refused("is masked: give the secret itself")
    if kind is ParameterType.BOOL:
        if text not in ("true", "false"):
            raise refused("must be true or false")
        return text == "true"
    if kind is ParameterType.CHOICE and text not in parameter.choices:
        raise refused(f"must be one of: {', '.join(parameter.choices)}")
    if kind is ParameterType.PORT and text not in ports:
        raise refused("must name a port of the deployment")
    if kind not in NUMERIC:
        return text
    number = _number(text, kind)
    if number is None:
        raise refused("must be a whole number" if kind is ParameterType.INTEGER else "must be a number")
    if (parameter.minimum is not None and number < parameter.minimum) or (
        parameter.maximum is not None and number > parameter.maximum
    ):
        raise refused(f"must be between {_bound(parameter.minimum)} and {_bound(parameter.maximum)}")
    return number


def _one_line(text: str) -> bool:
    """No control characters, line separators or lone surrogates: no format and no parser may see a second line."""
    return all(character.isprintable() or character == "\u00a0" for character in text)


def _number(text: str, kind: ParameterType) -> int | float | None:
    if kind is ParameterType.INTEGER:
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
    if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _bound(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"


def resolved(
    parameters: Sequence[Parameter], given: Mapping[str, str], ports: Mapping[str, int], field: str = "parameters"
) -> dict[str, Value]:
    """Each parameter's value: the session's own, else the default; of a PORT the number in `ports`.

    Raises InvalidRequest naming the parameter: unknown, missing, fixed, or of the wrong type."""
    known = {parameter.name for parameter in parameters}
    for name in sorted(given):
        if name not in known:
            raise InvalidRequest("PARAMETER_UNKNOWN", f"there is no parameter '{name}'", field=f"{field}.{name}")
    values: dict[str, Value] = {}
    for parameter in parameters:
        where = f"{field}.{parameter.name}"
        text = given.get(parameter.name, parameter.default)
        if text is None:
            raise InvalidRequest("PARAMETER_MISSING", f"parameter '{parameter.name}' needs a value", field=where)
        if parameter.fixed and text != parameter.default:
            raise InvalidRequest("PARAMETER_FIXED", f"parameter '{parameter.name}' cannot be changed", field=where)
        value = parsed(parameter, text, ports, where)
        values[parameter.name] = ports[str(value)] if parameter.type is ParameterType.PORT else value
    return values


def masked(parameters: Iterable[Parameter], values: Mapping[str, Value]) -> dict[str, Value]:
    """The same values, for eyes: no secret among them."""
    secret = {parameter.name for parameter in parameters if parameter.type is ParameterType.SECRET}
    return {name: MASK if name in secret else value for name, value in values.items()}


def word(value: Value) -> str:
    """A value as text, as every format writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
