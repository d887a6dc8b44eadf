"""Prints the test files that had failures, one a line: reads JUnit reports of pytest.

Whole files, since some tests stand on those before them.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def failed_files(report: Path, root: Path) -> set[str]:
    """Below `root`, whose modules the reports name. What could not even be imported has its name alone."""
    found = set()
    for case in ET.parse(report).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            parts = (case.get("classname") or case.get("name") or "").split(".")
            names = ("/".join(parts[:length]) + ".py" for length in range(len(parts), 0, -1))
            found |= {next(name for name in names if (root / name).is_file())}
    return found


def main(*reports: str) -> int:
    for name in sorted(set().union(*(failed_files(Path(report), Path.cwd()) for report in reports))):
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
