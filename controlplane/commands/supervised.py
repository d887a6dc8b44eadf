"""A role as `quarterdeck up` starts it: the supervisor's options, read without the second that the command line costs.

`python -m controlplane ROLE --status-fd N …`; N is a pipe on which the role says one line when it is ready.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

STATUS_OPTION = "--status-fd"


def main(arguments: list[str]) -> int:
    """Runs the role; returns the exit code."""
    parser = argparse.ArgumentParser(prog="quarterdeck", add_help=False)
    parser.add_argument("role", choices=("all", "api", "gateway", "processor"))
    parser.add_argument(STATUS_OPTION, type=int, required=True)
    parser.add_argument("--welcome", action="store_true")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--http-port", type=int)
    parser.add_argument("--grpc-port", type=int)
    parser.add_argument("--api", dest="target")
    options = vars(parser.parse_args(arguments))
    role, status_fd, welcome = options.pop("role"), options.pop("status_fd"), options.pop("welcome")

    from controlplane.bootstrap import run
    from controlplane.settings import SettingsError, load

    try:
        settings = load(**options)
    except SettingsError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return run(role, settings, status_fd=status_fd, welcome=welcome)
