"""Every error class has its status, and the details say whom to blame and when to come again."""

from __future__ import annotations

import grpc
import protovalidate
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from quarterdeck.v1 import games_pb2

from controlplane.api import status
from controlplane.domain import errors

Code = grpc.StatusCode

EXPECTED = {
    errors.InvalidRequest: Code.INVALID_ARGUMENT,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.Forbidden: Code.PERMISSION_DENIED,
    errors.NotFound: Code.NOT_FOUND,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.WrongState: Code.FAILED_PRECONDITION,
    errors.Conflict: Code.ABORTED,
    errors.Exhausted: Code.RESOURCE_EXHAUSTED,
    errors.Unavailable: Code.UNAVAILABLE,
}


def details(told: status_pb2.Status, kind: type[Message]) -> list[Message]:
    found = []
    for packed in told.details:
        message = kind()
        if packed.Unpack(message):
            found.append(message)
    return found


def test_every_class_of_the_domain_is_in_the_table() -> None:
    assert set(status.CODES) == set(errors.QuarterdeckError.__subclasses__()) == set(EXPECTED)


@pytest.mark.parametrize("cls", sorted(EXPECTED, key=lambda c: c.__name__))
def test_class_to_status(cls: type[errors.QuarterdeckError]) -> None:
    told = status.status_of(cls("SOME_REASON", "what to do", colour="blue"))
    assert told.code == EXPECTED[cls].value[0]
    assert told.message == "what to do"
    assert details(told, error_details_pb2.ErrorInfo) == [
        error_details_pb2.ErrorInfo(reason="SOME_REASON", domain="quarterdeck", metadata={"colour": "blue"})
    ]


def test_a_subclass_has_the_status_of_its_class() -> None:
    class Full(errors.Exhausted):
        pass

    assert status.code_of(Full("FULL", "wait")) is Code.RESOURCE_EXHAUSTED


def test_an_error_outside_the_table_is_our_mistake() -> None:
    assert status.code_of(errors.QuarterdeckError("ODD", "odd")) is Code.INTERNAL


def test_a_field_to_blame_is_a_violation() -> None:
    told = status.status_of(errors.NotFound("GAME_NOT_FOUND", "there is no such game", field="game"))
    [bad] = details(told, error_details_pb2.BadRequest)
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert [(v.field, v.description, v.reason) for v in bad.field_violations] == [
        ("game", "there is no such game", "GAME_NOT_FOUND")
    ]
    assert not details(status.status_of(errors.NotFound("X", "x")), error_details_pb2.BadRequest)


@pytest.mark.parametrize(
    ("error", "retry_s"),
    [
        (errors.Unavailable("AWAY", "away"), 1.0),
        (errors.Exhausted("FULL", "full", retry_after_s="2.5"), 2.5),
        (errors.Exhausted("QUOTA", "quota"), None),
        (errors.NotFound("GONE", "gone"), None),
    ],
)
def test_retry_info_when_waiting_is_the_remedy(error: errors.QuarterdeckError, retry_s: float | None) -> None:
    found = details(status.status_of(error), error_details_pb2.RetryInfo)
    delays = [m.retry_delay.ToTimedelta().total_seconds() for m in found if isinstance(m, error_details_pb2.RetryInfo)]
    assert delays == ([] if retry_s is None else [retry_s])


def test_violations_name_their_paths() -> None:
    request = games_pb2.CreateDeploymentRequest(
        parent="games/demo",
        deployment=games_pb2.Deployment(
            command=["x"],
            environment={"1A": "x"},
            picture=games_pb2.PICTURE_X11,
            ports=[
                games_pb2.PortSpec(port_name="a", protocol="udp"),
                games_pb2.PortSpec(port_name="b", protocol="icmp"),
            ],
        ),
    )
    error = status.violations_of(protovalidate.collect_violations(request))
    assert [path for path, _ in error.violations] == ['deployment.environment["1A"]', "deployment.ports[1].protocol"]
    told = status.status_of(error)
    assert told.code == Code.INVALID_ARGUMENT.value[0]
    [bad] = details(told, error_details_pb2.BadRequest)
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert [v.field for v in bad.field_violations] == [path for path, _ in error.violations]


def test_a_broken_oneof_is_told_without_a_path() -> None:
    error = status.violations_of(protovalidate.collect_violations(games_pb2.Readiness()))
    assert status.status_of(error).code == Code.INVALID_ARGUMENT.value[0]
    assert error.violations
