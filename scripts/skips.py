"""Fails when a test skipped that was not expected to: reads JUnit reports of pytest and a list of expected skips.

A line of the list is `TEST | REASON`, both with `*` for anything; `#` starts a comment. An expected skip that did not
happen is fine: the machine has more than it must.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def skipped(report: Path) -> list[tuple[str, str]]:
    """(test, reason) of each skip; a test is `tests.unit.test_x::test_y[param]`."""
    return [
        (f"{case.get('classname')}::{case.get('name')}", skip.get("message", ""))
        for case in ET.parse(report).getroot().iter("testcase")
        for skip in case.findall("skipped")
        if skip.get("type") != "pytest.xfail"
    ]


def expected(listing: str) -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    lines = [line.strip() for line in listing.splitlines()]
    rules = [line.partition("|") for line in lines if line and not line.startswith("#")]
    return [(_glob(test), _glob(reason)) for test, _, reason in rules]


def surprises(
    skips: list[tuple[str, str]], rules: list[tuple[re.Pattern[str], re.Pattern[str]]]
) -> list[tuple[str, str]]:
    return [skip for skip in skips if not any(t.fullmatch(skip[0]) and r.fullmatch(skip[1]) for t, r in rules)]


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.strip().split("*")), re.DOTALL)


def failed(report: Path) -> list[str]:
    return [
        f"{case.get('classname')}::{case.get('name')}"
        for case in ET.parse(report).getroot().iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def main(listing: str, *reports: str) -> int:
    rules = expected(Path(listing).read_text())
    skips = [skip for report in reports for skip in skipped(Path(report))]
    unexpected = surprises(skips, rules)
    for test, reason in skips:
        known = "unexpected skip" if (test, reason) in unexpected else "expected skip"
        print(f"{known}: {test} | {reason}")
    if unexpected:
        print(f"{len(unexpected)} tests skipped that {listing} does not list: install what they need, or list them")
    failures = [test for report in reports for test in failed(Path(report))]
    for test in failures:
        print(f"failed at first: {test}")
    cases = [case for report in reports for case in ET.parse(report).getroot().iter("testcase")]
    absent = sum(1 for case in cases if case.find("skipped") is not None)
    print(f"{len(cases) - len(failures) - absent} passed, {len(failures)} failed, {absent} skipped")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
