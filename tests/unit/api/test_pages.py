"""Page tokens lead on in their own list and nowhere else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.api import pages
from controlplane.domain.errors import InvalidRequest

START = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = [(START - timedelta(seconds=n), f"s-{n}") for n in range(7)]


def read(page: pages.Page) -> list[tuple[datetime, str]]:
    behind = [item for item in ITEMS if page.after is None or item < page.after]
    return behind[: page.size]


@given(size=st.integers(1, 10))
def test_pages_give_every_item_once_in_order(size: int) -> None:
    seen: list[tuple[datetime, str]] = []
    token = ""
    while True:
        page = pages.page_of(size, token, "sessions", "p")
        kept, token = pages.split(page, read(page), lambda item: item, "sessions", "p")
        assert len(kept) <= size
        seen.extend(kept)
        if not token:
            break
    assert seen == ITEMS


def a_token() -> str:
    page = pages.page_of(2, "", "sessions", "p")
    return pages.split(page, read(page), lambda item: item, "sessions", "p")[1]


@given(st.text(max_size=60))
def test_no_text_but_a_token_is_taken(text: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        pages.page_of(2, text or "x", "sessions", "p")
    assert refusal.value.field == "page_token"


@pytest.mark.parametrize("query", [("vms", "p"), ("sessions", "other project"), ("sessions", "p", "RUNNING"), ()])
def test_a_token_of_another_query_is_refused(query: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest, match="start again"):
        pages.page_of(2, a_token(), *query)


def test_a_changed_token_is_refused() -> None:
    token = a_token()
    text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).replace(b"s-1", b"s-5")
    with pytest.raises(InvalidRequest):
        pages.page_of(2, base64.urlsafe_b64encode(text).decode().rstrip("="), "sessions", "p")


def test_no_size_means_the_default_and_one_more_tells_of_a_next_page() -> None:
    assert pages.page_of(0, "").size == pages.DEFAULT_SIZE + 1
