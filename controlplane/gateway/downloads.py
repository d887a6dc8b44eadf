"""Downloads by signed URL, where the object store serves nobody but us: GET and HEAD, whole or one range (RFC 9110).

The token in the path is the only credential; neither the gateway nor its server logs paths.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.rpc import code_pb2
from quarterdeck.v1 import backups_pb2
from quarterdeck.v1.backups_pb2_grpc import BackupServiceStub
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from controlplane.gateway.call import metadata_of, request_id_of
from controlplane.gateway.errors import StatusError

PATH = "/v1/downloads/{token}"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def downloads_route(channel: grpc.aio.Channel) -> Route:
    stub = BackupServiceStub(channel)

    async def endpoint(request: Request) -> Response:
        metadata = metadata_of(request.headers, request_id_of(request.headers))
        try:
            return await _answer(stub, request, metadata)
        except grpc.aio.AioRpcError as error:
            return StatusError.of_rpc(error).response()
        except StatusError as error:
            return error.response()

    return Route(PATH, endpoint, methods=["GET", "HEAD"])


async def _answer(stub: Any, request: Request, metadata: tuple[tuple[str, str], ...]) -> Response:
    token = request.path_params["token"]
    header, probe = await _opened(stub, backups_pb2.ReadDownloadRequest(token=token, length=1), metadata)
    probe.cancel()
    tag = f'"{header.sha256}"'
    wanted = request.headers.get("range", "")
    if request.headers.get("if-range", tag) != tag:
        wanted = ""
    part = _part(wanted, header.size_bytes)
    first, last = part or (0, header.size_bytes - 1)
    headers = {
        "content-length": str(last - first + 1),
        "accept-ranges": "bytes",
        "etag": tag,
        "content-disposition": f'attachment; filename="{header.file_name}"',
        **({"content-range": f"bytes {first}-{last}/{header.size_bytes}"} if part else {}),
    }
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(None, status, headers, "application/gzip")
    reading = backups_pb2.ReadDownloadRequest(token=token, offset=first, length=last - first + 1)
    _, call = await _opened(stub, reading, metadata)
    return StreamingResponse(_pieces(call), status, headers, "application/gzip")


async def _opened(stub: Any, request: Any, metadata: Any) -> tuple[backups_pb2.DownloadHeader, Any]:
    """Raises AioRpcError."""
    call = stub.ReadDownload(request, metadata=metadata)
    first = await call.read()
    if not isinstance(first, backups_pb2.ReadDownloadResponse):
        raise StatusError(code_pb2.UNAVAILABLE, "the download has no beginning; try again", reason="DOWNLOAD_BROKE")
    return first.header, call


async def _pieces(call: Any) -> AsyncIterator[bytes]:
    """What breaks here cuts the answer short of its announced length: the client sees that."""
    try:
        while isinstance(message := await call.read(), backups_pb2.ReadDownloadResponse):
            yield message.chunk
    finally:
        call.cancel()


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """The first and last byte of one range; None for the whole, also where several are asked for.

    Raises StatusError (416) for a range that lies outside."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    if start >= size or (last and first and int(last) < start) or (not first and not int(last)):
        raise StatusError(
            code_pb2.OUT_OF_RANGE,
            f"it has {size} bytes",
            reason="RANGE_INVALID",
            http_status=416,
            headers={"content-range": f"bytes */{size}"},
        )
    return start, end
