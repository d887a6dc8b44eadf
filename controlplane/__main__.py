"""`quarterdeck` and `python -m controlplane`."""

from __future__ import annotations


def main() -> None:
    from controlplane.cli import app

    app()


if __name__ == "__main__":
    main()
