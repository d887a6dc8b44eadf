"""DeadLetterService: what consumers gave up, translated."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from quarterdeck.v1 import deadletters_pb2 as pb
from quarterdeck.v1 import deadletters_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.mapping.values import last_part, timestamp
from controlplane.domain.deadletter import DeadLetter
from controlplane.usecases import deadletters
from controlplane.usecases.world import World


class DeadLetterServicer(rpc.DeadLetterServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Any) -> pb.ListDeadLettersResponse:
        query = ("deadLetters", request.consumer)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await deadletters.list_dead_letters(self._world, identity.principal(), request.consumer, page)
        kept, token = pages.split(page, found, lambda letter: (letter.at, letter.key), *query)
        return pb.ListDeadLettersResponse(
            dead_letters=[_message(letter, whole=False) for letter in kept], next_page_token=token
        )

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: Any) -> pb.DeadLetter:
        letter = await deadletters.get_dead_letter(self._world, identity.principal(), last_part(request.name))
        return _message(letter, whole=True)

    async def ReplayDeadLetter(self, request: pb.ReplayDeadLetterRequest, context: Any) -> pb.DeadLetter:
        letter = await deadletters.ask_replay(
            self._world, identity.principal(), last_part(request.name), identity.request_id()
        )
        return _message(letter, whole=False)

    async def DeleteDeadLetter(self, request: pb.DeleteDeadLetterRequest, context: Any) -> Empty:
        await deadletters.delete_dead_letter(
            self._world, identity.principal(), last_part(request.name), identity.request_id()
        )
        return Empty()


def _message(letter: DeadLetter, *, whole: bool) -> pb.DeadLetter:
    return pb.DeadLetter(
        name=letter.name,
        consumer=letter.consumer,
        subject=letter.subject,
        time=timestamp(letter.at),
        error=letter.error,
        payload_bytes=len(letter.payload),
        payload=letter.payload if whole else b"",
        replay_time=timestamp(letter.replay_at),
    )
