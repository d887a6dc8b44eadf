"""Follows a session's log: by its console as long as that has every line, and by the store for what it lacks.

So whoever is up to date needs no store, which may be dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta

from quarterdeck.v1 import agent_pb2
from quarterdeck.v1 import logs_pb2 as pb

from controlplane.api.consolechannels import ConsoleChannels
from controlplane.api.mapping.logs import line_message, line_of_console
from controlplane.domain.errors import Unavailable, WrongState
from controlplane.domain.identity import Principal
from controlplane.domain.logs import LogFilter, LogHead, LogLine, complete
from controlplane.domain.session import ON_HOST, Session
from controlplane.interfaces import LogPosition
from controlplane.usecases import logs
from controlplane.usecases.world import World

PAGE_LINES = 500
POLL_S = 1.0
STILL_HERE_POLLS = 30
# So long after a session's end its host may still bring its last lines.
LAST_LINES = timedelta(seconds=30)


class Following:
    """One follower: every line behind `position` once, in order."""

    def __init__(
        self, world: World, consoles: ConsoleChannels, who: Principal, session_id: str, position: LogPosition
    ) -> None:
        self._world = world
        self._consoles = consoles
        self._who = who
        self._session_id = session_id
        self._position = position

    async def outputs(self) -> AsyncIterator[pb.FollowLogsResponse]:
        """Until the session is over and all that is to come has come. Raises NotFound, Forbidden."""
        polls = 0
        while True:
            session, heads = await logs.heads(self._world, self._who, self._session_id)
            over = session.finished and (complete(session.generation, heads) or await self._given_up(session, heads))
            if session.generation > max(1, self._position[0]):
                async for output in self._stored():  # no console has the lines of an earlier generation
                    polls = 0
                    yield output
            if session.state in ON_HOST:
                async for output in self._live(session):
                    polls = 0
                    yield output
            async for output in self._stored():
                polls = 0
                yield output
            if over:
                return
            polls += 1
            if polls % STILL_HERE_POLLS == 0:
                yield pb.FollowLogsResponse()
            await asyncio.sleep(POLL_S)

    async def _stored(self) -> AsyncIterator[pb.FollowLogsResponse]:
        while True:
            found = await logs.search(self._world, self._who, self._session_id, LogFilter(), self._position, PAGE_LINES)
            for missed, run in _runs(self._position, found.lines):
                self._position = run[-1][0], run[-1][1].sequence
                yield pb.FollowLogsResponse(lines=[line_message(*line) for line in run], missed=missed)
            if found.next is None:
                return
            self._position = found.next

    async def _live(self, session: Session) -> AsyncIterator[pb.FollowLogsResponse]:
        """As long as the console has every line behind the position."""
        generation, sequence = self._position
        after = sequence if generation == session.generation else 0
        try:
            async with self._consoles.to(session, agent_pb2.ConsoleOpen(after_sequence=after)) as inbox:
                while (message := await inbox.next()) is not None:
                    output = message.console_output
                    if output.missed or message.signal.HasField("close"):
                        return
                    if output.lines:
                        self._position = session.generation, output.lines[-1].sequence
                    yield pb.FollowLogsResponse(
                        lines=[line_of_console(session.generation, line) for line in output.lines]
                    )
        except (Unavailable, WrongState):
            return  # the host is away, or the session has moved on: the store will know more

    async def _given_up(self, session: Session, heads: Sequence[LogHead]) -> bool:
        """Whether nothing is to be expected of the finished session's host any more."""
        async with self._world.store.reading() as tx:
            now = await tx.now()
        heard = [at for at in (session.ended_at, *(head.stored_at for head in heads)) if at is not None]
        return not session.vm_id or now - max(heard, default=now - 2 * LAST_LINES) > LAST_LINES


def _runs(
    position: LogPosition, lines: Sequence[tuple[int, LogLine]]
) -> Iterator[tuple[int, Sequence[tuple[int, LogLine]]]]:
    """Lines in runs without a gap, each with the number of lines that are missing right before it."""
    run: list[tuple[int, LogLine]] = []
    missed = 0
    for generation, line in lines:
        expected = position[1] + 1 if generation == position[0] else 1
        if line.sequence != expected or generation != position[0]:
            if run:
                yield missed, run
            run, missed = [], line.sequence - expected
        run.append((generation, line))
        position = generation, line.sequence
    if run:
        yield missed, run
