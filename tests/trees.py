"""Trees of directories that no path reaches the end of."""

import os
from pathlib import Path


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
