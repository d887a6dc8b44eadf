"""Trees of directories that no path reaches the end of."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostagent import tree


@pytest.fixture
def deep_folder() -> Iterator[Path]:
    """For such trees. Not below pytest's own: it removes what a killed run has left there, and would die of the depth
    at the end of every later run on this machine."""
    folder = Path(tempfile.mkdtemp(prefix="deep-"))
    yield folder
    tree.remove(folder)


def grow(top: Path, depth: int) -> None:
    """`depth` directories in each other below `top`, with a file in each."""
    top.mkdir()
    folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=folder))
        os.mkdir("deeper", dir_fd=folder)
        inner = os.open("deeper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=folder))
    os.close(folder)
