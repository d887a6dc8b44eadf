"""From an error to what goes over the wire: one table from error class to gRPC status, with google.rpc details.

The gateway turns the same google.rpc.Status into JSON, so this is the only place where an error gets its shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from protovalidate import Violation

from controlplane.api.words import words_for
from controlplane.domain import errors

DOMAIN = "quarterdeck"
RETRY_AFTER = "retry_after_s"
DEFAULT_RETRY_S = 1.0

CODES: Mapping[type[errors.QuarterdeckError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}


class InvalidFields(errors.InvalidRequest):
    """A message broke rules of its proto: one (field path, description) for each."""

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        told = "; ".join(f"{path}: {what}" if path else what for path, what in violations)
        super().__init__("INVALID_FIELDS", told, field=violations[0][0])
        self.violations = tuple(violations)


def code_of(error: errors.QuarterdeckError) -> grpc.StatusCode:
    """The status of the nearest class in the table; a class outside it is our mistake and INTERNAL."""
    for cls in type(error).__mro__:
        if cls in CODES:
            return CODES[cls]
    return grpc.StatusCode.INTERNAL


def status_of(error: errors.QuarterdeckError, parting: Mapping[str, str] | None = None) -> status_pb2.Status:
    """ErrorInfo always, with `parting` in it; BadRequest when a field is to blame; RetryInfo when waiting is the
    remedy."""
    code = code_of(error)
    facts = {**(parting or {}), **error.details}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts)]
    violations = error.violations if isinstance(error, InvalidFields) else ((error.field, error.message),)
    if violations[0][0] or isinstance(error, InvalidFields):
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=path, description=what, reason=error.reason)
                    for path, what in violations
                ]
            )
        )
    if code is grpc.StatusCode.UNAVAILABLE or RETRY_AFTER in error.details:
        details.append(error_details_pb2.RetryInfo(retry_delay=_retry_delay(error)))
    return _status(code, error.message, details)


def internal(error_id: str) -> status_pb2.Status:
    """What a caller learns of our own mistakes: an id to quote, nothing else."""
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id})
    return _status(grpc.StatusCode.INTERNAL, f"something broke on our side; quote error id {error_id}", [info])


def deadline(limit_s: float, parting: Mapping[str, str]) -> status_pb2.Status:
    """`parting` says what goes on, by name."""
    info = error_details_pb2.ErrorInfo(reason="DEADLINE_EXCEEDED", domain=DOMAIN, metadata=parting)
    begun = ", ".join(parting.values()) or "what was begun"
    message = f"not done within {limit_s:.3g} s; {begun} goes on, ask for it again"
    return _status(grpc.StatusCode.DEADLINE_EXCEEDED, message, [info])


def violations_of(found: Sequence[Violation]) -> InvalidFields:
    """protovalidate's findings, each with its field path as in `deployment.ports[2].protocol`."""
    return InvalidFields([(_path(violation), _told(violation)) for violation in found])


def _told(violation: Violation) -> str:
    words = words_for(violation.rule_value) if violation.proto.rule_id == "string.pattern" else ""
    return f"must be {words}" if words else violation.proto.message or "is not valid"


def _path(violation: Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            key = subscript.value
            path += f'["{key}"]' if isinstance(key, str) else f"[{key}]"
    return path


def _retry_delay(error: errors.QuarterdeckError) -> Duration:
    delay = Duration()
    delay.FromMilliseconds(round(float(error.details.get(RETRY_AFTER, DEFAULT_RETRY_S)) * 1000))
    return delay


def _status(code: grpc.StatusCode, message: str, details: Sequence[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
