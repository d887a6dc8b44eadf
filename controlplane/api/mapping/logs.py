"""Lines of logs on the wire."""

from __future__ import annotations

from quarterdeck.v1 import console_pb2
from quarterdeck.v1 import logs_pb2 as pb

from controlplane.api.mapping.values import timestamp
from controlplane.domain.logs import LogLine, LogStream

STREAMS = {
    console_pb2.LOG_STREAM_STDOUT: LogStream.STDOUT,
    console_pb2.LOG_STREAM_STDERR: LogStream.STDERR,
    console_pb2.LOG_STREAM_WRAPPER: LogStream.WRAPPER,
}
WIRE = {stream: wire for wire, stream in STREAMS.items()}


def line_message(generation: int, line: LogLine) -> pb.LogLine:
    return pb.LogLine(
        generation=generation,
        sequence=line.sequence,
        time=timestamp(line.at),
        stream=WIRE[line.stream],
        text=line.text,
    )


def line_of_console(generation: int, line: console_pb2.ConsoleLine) -> pb.LogLine:
    return pb.LogLine(generation=generation, sequence=line.sequence, time=line.time, stream=line.stream, text=line.text)
