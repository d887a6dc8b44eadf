"""A refusal names the fields of a request as JSON does."""

from __future__ import annotations

import pytest
from google.rpc import code_pb2, error_details_pb2
from quarterdeck.v1 import games_pb2, sessions_pb2

from controlplane.gateway.errors import StatusError, json_path


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("save_id", "saveId"),
        ("limits.idle_timeout", "limits.idleTimeout"),
        ('parameters["max_players"]', 'parameters["max_players"]'),
        ("nobody_knows.this_one", "nobody_knows.this_one"),
        ("", ""),
    ],
)
def test_a_path_is_told_by_its_names_in_json(path: str, told: str) -> None:
    assert json_path(path, sessions_pb2.CreateSessionRequest.DESCRIPTOR) == told


def test_a_path_leads_through_lists() -> None:
    descriptor = games_pb2.CreateDeploymentRequest.DESCRIPTOR
    assert json_path("deployment.ports[2].game_port", descriptor) == "deployment.ports[2].gamePort"


def test_both_message_and_details_are_told_so() -> None:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=field, description="must be an id")
        for field in ("save_id", "client_token")
    ]
    error = StatusError(
        code_pb2.INVALID_ARGUMENT,
        "save_id: must be an id; client_token: must be an id",
        reason="INVALID_FIELDS",
        details=[error_details_pb2.BadRequest(field_violations=violations)],
    ).of_request(sessions_pb2.CreateSessionRequest.DESCRIPTOR)
    body = error.body()
    assert body["message"] == "saveId: must be an id; clientToken: must be an id"
    assert [one["field"] for one in body["details"][1]["fieldViolations"]] == ["saveId", "clientToken"]
