"""ConsoleService: a game's output, lines for its input, and actions, over a channel to its wrapper.

When a link of the chain breaks the call ends as UNAVAILABLE, and the client goes on from the last sequence it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from quarterdeck.v1 import agent_pb2
from quarterdeck.v1 import console_pb2 as pb
from quarterdeck.v1 import console_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.consolechannels import ConsoleChannels
from controlplane.api.mapping.values import last_part
from controlplane.domain.errors import WrongState
from controlplane.domain.session import Session
from controlplane.usecases import console
from controlplane.usecases.links import unreachable
from controlplane.usecases.world import World


class ConsoleServicer(rpc.ConsoleServiceServicer):
    def __init__(self, world: World, consoles: ConsoleChannels) -> None:
        self._world = world
        self._consoles = consoles

    async def StreamConsole(self, request: pb.StreamConsoleRequest, context: Any) -> AsyncIterator[pb.ConsoleOutput]:
        session = await console.readable(self._world, identity.principal(), last_part(request.session))
        opening = agent_pb2.ConsoleOpen(after_sequence=request.after_sequence)
        async with self._consoles.to(session, opening) as inbox:
            while (message := await inbox.next()) is not None:
                if message.HasField("console_output"):
                    yield message.console_output
                elif message.signal.HasField("close"):
                    await self._ended(session)
                    return

    async def SendConsoleInput(self, request: pb.SendConsoleInputRequest, context: Any) -> pb.SendConsoleInputResponse:
        who, session_id = identity.principal(), last_part(request.session)
        session = await console.typing(self._world, who, session_id, "SendConsoleInput", identity.request_id())
        return await self._type(session, request.lines)

    async def ExecuteAction(self, request: pb.ExecuteActionRequest, context: Any) -> pb.SendConsoleInputResponse:
        session, lines = await console.action(
            self._world,
            identity.principal(),
            last_part(request.session),
            request.action,
            dict(request.parameters),
            identity.request_id(),
        )
        return await self._type(session, lines)

    async def _type(self, session: Session, lines: Sequence[str]) -> pb.SendConsoleInputResponse:
        """Raises WrongState when the game does not take them, Unavailable when nobody can tell whether it did."""
        async with self._consoles.to(session, agent_pb2.ConsoleOpen(lines=lines)) as inbox:
            try:
                async with asyncio.timeout(self._consoles.terms.answer_within_s):
                    message = await inbox.next()
            except TimeoutError:
                raise unreachable(session) from None
            if message is not None and message.HasField("console_taken"):
                return pb.SendConsoleInputResponse(sequence=message.console_taken.sequence)
            why = message.signal.close.reason if message is not None else "the channel has ended"
            raise WrongState("INPUT_NOT_TAKEN", f"{session.name} did not take the input: {why}")

    async def _ended(self, session: Session) -> None:
        """Raises Unavailable unless the session is over, or about to be: its host will say so."""
        if not await console.ending(self._world, session):
            raise unreachable(session)
