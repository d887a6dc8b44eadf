"""Becomes the wrapper: sets limits on itself, then replaces itself by the program.

A child that limits itself needs no code between fork and exec in the agent, which would not be safe with its threads.
Run as a file with `-I -S`, so it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import resource
import sys


def limit(open_files: int, nice: int) -> None:
    """No core dumps, at most `open_files` descriptors (never above the hard limit), `nice` steps less urgent."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    ceiling = open_files if hard == resource.RLIM_INFINITY else min(open_files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, ceiling))
    if nice:
        os.nice(nice)
    os.umask(0o077)


def main(arguments: list[str]) -> None:
    """`launch.py OPEN_FILES NICE PROGRAM [ARGUMENT…]`; never returns."""
    limit(int(arguments[0]), int(arguments[1]))
    os.execvp(arguments[2], arguments[2:])  # noqa: S606 - replacing itself is its whole purpose


if __name__ == "__main__":
    main(sys.argv[1:])
