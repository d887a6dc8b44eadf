import pytest

from controlplane.domain import subjects
from controlplane.domain.errors import InvalidRequest


def test_an_event_is_on_the_subject_of_its_project():
    assert subjects.event("default", "quarterdeck.session.running") == "quarterdeck.event.default.session.running"
    assert subjects.matches(subjects.EVENTS, subjects.event("default", "quarterdeck.vm.ready"))
    assert subjects.matches(subjects.events_of("a"), subjects.event("a", "quarterdeck.vm.ready"))
    assert not subjects.matches(subjects.events_of("a"), subjects.event("b", "quarterdeck.vm.ready"))


@pytest.mark.parametrize("bad", ["", "a.b", "*", ">", "a b", "a\n", "x" * 129])
@pytest.mark.parametrize(
    "name", [subjects.report, subjects.link, subjects.signal, subjects.hint_plan, subjects.hint_session]
)
def test_an_id_cannot_widen_a_subject(name, bad):
    with pytest.raises(InvalidRequest):
        name(bad)


@pytest.mark.parametrize("bad", ["session.running", "quarterdeck.session", "quarterdeck.session.>", "quarterdeck..x"])
def test_an_event_type_is_checked(bad):
    with pytest.raises(InvalidRequest):
        subjects.event("default", bad)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.c", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
    ],
)
def test_wildcards_follow_the_rule_of_nats(pattern, subject, expected):
    assert subjects.matches(pattern, subject) is expected


def test_the_host_of_a_report_is_its_last_token():
    assert subjects.last_token(subjects.report("vm-1")) == "vm-1"
