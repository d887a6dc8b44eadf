"""What becomes of a stream whose source or encoder fails."""

from __future__ import annotations

import queue

import av
import pytest

from wrapper.stream.encoder import Encoded
from wrapper.stream.pipeline import Pipeline
from wrapper.stream.source import Captured, SourceError


class FailingSource:
    """Gives no picture, but an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def next(self, timeout_s: float) -> Captured | None:
        raise self._error

    def wake(self) -> None: ...

    def close(self) -> None: ...


class NoEncoder:
    """There is nothing to encode."""

    name = "none"
    costly_bitrate = False

    def encode(self, frame: av.VideoFrame, pts: int, key: bool) -> Encoded | None:
        raise NotImplementedError

    def set_bitrate(self, kbps: int) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SourceError("the display is gone"), "the display is gone"),
        (ZeroDivisionError("nobody expects it"), "the wrapper failed; its log says how"),
    ],
)
def test_whatever_ends_the_pipeline_is_heard_of(error: Exception, said: str) -> None:
    broken: queue.Queue[str] = queue.Queue()
    pipeline = Pipeline(FailingSource(error), NoEncoder(), lambda frame: None, broken.put)
    pipeline.start()
    assert broken.get(timeout=10) == said
    pipeline.close()
