"""Asks a gRPC server for its services: server reflection v1, or v1alpha where v1 is missing.

What comes back is bounded in time and in number, since the server may be anybody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2

VERSIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
MAX_FILES = 4096
DISCOVERY_TIMEOUT_S = 20.0

# Types that answers may carry inside an Any, though no service names them.
_ALWAYS = (error_details_pb2.DESCRIPTOR.name, status_pb2.DESCRIPTOR.name, httpbody_pb2.DESCRIPTOR.name)


class DiscoveryError(Exception):
    """The target cannot be discovered: it has no reflection, or what it says makes no sense."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a target serves: the names of its services and the files, with their options, that describe them."""

    services: tuple[str, ...]
    files: dict[str, descriptor_pb2.FileDescriptorProto]
    pool: DescriptorPool


async def discover(channel: grpc.aio.Channel, timeout_s: float = DISCOVERY_TIMEOUT_S) -> Catalogue:
    """Raises DiscoveryError, or grpc.aio.AioRpcError where the target is out of reach."""
    for version in VERSIONS:
        try:
            async with asyncio.timeout(timeout_s):
                return await _Conversation(channel, version).catalogue()
        except TimeoutError:
            raise DiscoveryError(f"reflection took longer than {timeout_s:g} s") from None
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
    raise DiscoveryError("the target has no gRPC server reflection")


class _Conversation:
    """One reflection stream, asked one question after the other."""

    def __init__(self, channel: grpc.aio.Channel, version: str) -> None:
        method: Any = channel.stream_stream(  # v1 and v1alpha have the same messages on the wire
            f"/{version}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        self._questions: asyncio.Queue[reflection_pb2.ServerReflectionRequest | None] = asyncio.Queue()
        self._call = method(self._asked())
        self._files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    async def _asked(self) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        while (question := await self._questions.get()) is not None:
            yield question

    async def _ask(self, question: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse:
        self._questions.put_nowait(question)
        answer = await self._call.read()
        if answer is grpc.aio.EOF:
            raise DiscoveryError("the target ended the reflection stream early")
        return answer

    async def catalogue(self) -> Catalogue:
        try:
            listing = await self._ask(reflection_pb2.ServerReflectionRequest(list_services=""))
            services = tuple(sorted(service.name for service in listing.list_services_response.service))
            described = [name for name in services if await self._file_of(name)]
            await self._dependencies()
        finally:
            self._questions.put_nowait(None)
            self._call.cancel()
        return Catalogue(tuple(described), self._files, _pool_of(self._files))

    async def _file_of(self, symbol: str) -> bool:
        return self._keep(await self._ask(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)))

    async def _dependencies(self) -> None:
        while missing := self._missing():
            for name in missing:
                known = self._keep(await self._ask(reflection_pb2.ServerReflectionRequest(file_by_filename=name)))
                if not (known and name in self._files):
                    self._keep_own(name)

    def _missing(self) -> list[str]:
        wanted = {name for file in self._files.values() for name in file.dependency}
        return sorted(wanted - self._files.keys())

    def _keep(self, answer: reflection_pb2.ServerReflectionResponse) -> bool:
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            try:
                # This parse knows google.api.http, since annotations_pb2 is imported where rules are read.
                file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            except DecodeError as error:
                raise DiscoveryError(f"the target sent a broken file descriptor: {error}") from None
            self._files.setdefault(file.name, file)
        if len(self._files) > MAX_FILES:
            raise DiscoveryError(f"the target describes itself in more than {MAX_FILES} files")
        return bool(answer.HasField("file_descriptor_response"))

    def _keep_own(self, name: str) -> None:
        try:
            own = Default().FindFileByName(name)
        except KeyError:
            raise DiscoveryError(f"the target does not hand out {name}, which its services need") from None
        copy = descriptor_pb2.FileDescriptorProto()
        own.CopyToProto(copy)
        self._files[name] = copy


def _pool_of(files: dict[str, descriptor_pb2.FileDescriptorProto]) -> DescriptorPool:
    pool = DescriptorPool()
    added: set[str] = set()
    try:
        for name in files:
            _add(pool, name, files, added)
        for name in _ALWAYS:
            if name not in files:
                _add_own(pool, name, files, added)
    except (TypeError, KeyError, ValueError) as error:
        raise DiscoveryError(f"the target's file descriptors do not fit together: {error}") from None
    return pool


def _add(
    pool: DescriptorPool, name: str, files: dict[str, descriptor_pb2.FileDescriptorProto], added: set[str]
) -> None:
    stack = [name]
    while stack:
        file = files[stack[-1]]
        waiting = [d for d in file.dependency if d not in added]
        if any(d in stack for d in waiting):
            raise ValueError(f"{file.name} imports itself")
        if waiting:
            stack.extend(waiting[:1])
            continue
        if stack[-1] not in added:
            pool.Add(file)
            added.add(stack[-1])
        stack.pop()


def _add_own(
    pool: DescriptorPool, name: str, files: dict[str, descriptor_pb2.FileDescriptorProto], added: set[str]
) -> None:
    own = Default().FindFileByName(name)
    needs: Iterable[str] = [d.name for d in own.dependencies]
    for need in needs:
        if need not in added:
            _add_own(pool, need, files, added)
    copy = descriptor_pb2.FileDescriptorProto()
    own.CopyToProto(copy)
    pool.Add(copy)
    added.add(name)
