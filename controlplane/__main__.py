"""`quarterdeck` and `python -m controlplane`."""

from __future__ import annotations

import sys


def main() -> None:
    from controlplane.commands import supervised

    if supervised.STATUS_OPTION in sys.argv:
        sys.exit(supervised.main(sys.argv[1:]))
    from controlplane.cli import app

    app()


if __name__ == "__main__":
    main()
