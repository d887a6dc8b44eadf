"""Every refusal in one form: google.rpc.Status as JSON, with the HTTP status that goes with its code.

Source of the mapping: google/rpc/code.proto. 404, 405 and 413 keep the HTTP status that HTTP itself gives them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import orjson
from google.protobuf import any_pb2, duration_pb2, json_format
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from starlette.responses import Response

DOMAIN = "quarterdeck"
_PARTS = re.compile(r'[^.\[]+(?:\["[^"]*"\]|\[[^\]]*\])?')
DETAILS_KEY = "grpc-status-details-bin"

HTTP_STATUS: Mapping[int, int] = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}


class StatusError(Exception):
    """An answer that is no success: a google.rpc.Status, its HTTP status and headers.

    reason is a stable word for programs, as google.rpc.ErrorInfo; the gateway's own refusals all have one.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str = "",
        details: Sequence[Message] = (),
        http_status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status_pb2.Status(code=code, message=message)
        if reason:
            self.status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
        for detail in details:
            self.status.details.add().Pack(detail)
        self.http_status = http_status or HTTP_STATUS.get(code, 500)
        self.headers = dict(headers or {})

    @classmethod
    def of_rpc(cls, error: grpc.aio.AioRpcError) -> StatusError:
        """What a gRPC server answered, its details included."""
        code: int = error.code().value[0]
        refusal = cls(code, error.details() or "")
        for key, value in error.trailing_metadata() or ():
            if key == DETAILS_KEY and isinstance(value, bytes):
                try:
                    refusal.status = status_pb2.Status.FromString(value)
                except DecodeError:  # the plain code and message are still the truth
                    break
                refusal.status.code = code
        refusal.headers = _headers_of(refusal.status)
        return refusal

    @classmethod
    def of_field(cls, field: str, description: str) -> StatusError:
        """INVALID_ARGUMENT that names the field, in the message and as google.rpc.BadRequest."""
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
        message = f"{field}: {description}" if field else description
        details = [error_details_pb2.BadRequest(field_violations=[violation])]
        return cls(code_pb2.INVALID_ARGUMENT, message, reason="INVALID_FIELDS", details=details)

    def of_request(self, request: Any) -> StatusError:
        """The same, with the fields of the request by their names in JSON, as the client of a gateway knows them."""
        message = self.status.message
        for detail in self.status.details:
            bad = error_details_pb2.BadRequest()
            if not detail.Unpack(bad):
                continue
            for violation in bad.field_violations:
                named = json_path(violation.field, request)
                message = message.replace(f"{violation.field}: ", f"{named}: ", 1) if violation.field else message
                violation.field = named
            detail.Pack(bad)
        self.status.message = message
        return self

    def body(self, pool: DescriptorPool | None = None) -> dict[str, Any]:
        """{code, message, details}; a detail whose type nobody knows stays base64 in `value`."""
        details = [detail_json(detail, pool) for detail in self.status.details]
        return {"code": self.status.code, "message": self.status.message, "details": details}

    def response(self, pool: DescriptorPool | None = None) -> Response:
        return Response(orjson.dumps(self.body(pool)), self.http_status, self.headers, "application/json")


def json_path(path: str, message: Any) -> str:
    """`deployment.ports[0].gamePort` of `deployment.ports[0].game_port`; what the message's descriptor does not know
    stays."""
    named: list[str] = []
    inside = message
    for part in _PARTS.findall(path):
        name, bracket, subscript = part.partition("[")
        field = inside.fields_by_name.get(name) if inside is not None else None
        named.append((field.json_name if field is not None else name) + bracket + subscript)
        inside = field.message_type if field is not None else None
        if inside is not None and inside.GetOptions().map_entry:
            inside = inside.fields_by_name["value"].message_type
    return ".".join(named)


def _headers_of(status: status_pb2.Status) -> dict[str, str]:
    headers = {}
    if status.code == code_pb2.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    for detail in status.details:
        retry = error_details_pb2.RetryInfo()
        if detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            headers["retry-after"] = str(_whole_seconds(retry.retry_delay))
    return headers


def _whole_seconds(duration: duration_pb2.Duration) -> int:
    return max(0, duration.seconds + (1 if duration.nanos > 0 else 0))


def detail_json(detail: any_pb2.Any, pool: DescriptorPool | None) -> dict[str, Any]:
    for known in (pool, Default()):
        if known is None:
            continue
        try:
            shown: dict[str, Any] = json_format.MessageToDict(
                detail, always_print_fields_with_no_presence=True, descriptor_pool=known
            )
        except (TypeError, DecodeError, json_format.Error):  # the type is not in this pool, or its bytes are broken
            continue
        return shown
    return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}
