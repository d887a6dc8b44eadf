"""What is typed into a game: its end of a pipe is the game's standard input, or leads to it."""

from __future__ import annotations

import asyncio
import os

INPUT_MAX_BYTES = 65536


class InputRefusedError(Exception):
    """The program takes no input now; the text says why."""


class GameInput:
    """The writing end of a pipe. write() never waits: what a game does not read is bounded."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    @classmethod
    async def open(cls, descriptor: int) -> GameInput:
        """Takes over the descriptor."""
        file = os.fdopen(descriptor, "wb", 0)
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, file)
        return cls(transport)

    def write(self, data: bytes) -> None:
        """Raises InputRefusedError when the program does not read, or has closed its input."""
        if self._transport.is_closing():
            raise InputRefusedError("the game does not take input")
        if self._transport.get_write_buffer_size() + len(data) > INPUT_MAX_BYTES:
            raise InputRefusedError("the game does not read its input")
        self._transport.write(data)

    def close(self) -> None:
        """What is not read yet is dropped."""
        if not self._transport.is_closing():
            self._transport.abort()
