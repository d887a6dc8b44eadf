"""A changed copy is what dataclasses.replace makes, and no other field gets in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.domain.copying import copied
from tests.contract.store.rows import a_full_session, a_vm


def test_a_copy_is_what_replace_makes_and_the_original_stays() -> None:
    session = a_full_session()
    assert copied(session, version=9, reason_detail="x") == replace(session, version=9, reason_detail="x")
    assert session == a_full_session()


def test_what_is_no_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Vm has no colour"):
        copied(a_vm(), colour="red")
