"""Settings: environment over file over defaults, and errors that name the variable."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane import bootstrap, settings
from controlplane.adapters.clouds.local import Fault, MachineType, Terms
from controlplane.domain.retry import DEFAULT_SCHEDULES, FailureKind

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in [*settings.FIELDS, "config"]:
        monkeypatch.delenv(f"QUARTERDECK_{field.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults_keep_everything_in_the_data_directory_and_on_loopback(tmp_path: Path) -> None:
    house = settings.load()

    assert house.data_dir == tmp_path / ".quarterdeck"
    assert house.database_url == f"sqlite:///{tmp_path}/.quarterdeck/quarterdeck.db"
    assert {house.ca_dir.parent, house.token_file.parent} == {house.data_dir}
    assert {house.http_host, house.grpc_host, house.link_host} == {"127.0.0.1"}
    assert house.listeners() == {"http_port": 8080, "grpc_port": 50051, "link_port": 50052, "enrolment_port": 50053}


def test_options_win_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "house.toml"
    file.write_text('http_port = 1001\ngrpc_port = 2001\nstale_after_s = 12\nallowed_origins = ["https://a.example"]\n')
    monkeypatch.setenv("QUARTERDECK_CONFIG", str(file))
    monkeypatch.setenv("QUARTERDECK_GRPC_PORT", "2002")
    monkeypatch.setenv("QUARTERDECK_HTTP_PORT", "1002")

    house = settings.load(http_port=1003, data_dir=None)

    assert (house.http_port, house.grpc_port, house.stale_after_s) == (1003, 2002, 12)
    assert house.allowed_origins == ("https://a.example",)


def test_a_relay_needs_credentials_and_they_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_ICE_SERVERS", "stun:s.example:3478, turn:t.example:3478")
    with pytest.raises(settings.SettingsError, match="QUARTERDECK_TURN_CREDENTIAL"):
        settings.load()
    monkeypatch.setenv("QUARTERDECK_TURN_USERNAME", "user")
    monkeypatch.setenv("QUARTERDECK_TURN_CREDENTIAL", "s3cret")
    house = settings.load()
    assert house.ice_servers == ("stun:s.example:3478", "turn:t.example:3478")
    assert "s3cret" not in repr(house)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTP_PORT", "http"),
        ("GRPC_PORT", "-1"),
        ("ICE_SERVERS", "http://stun.example"),
        ("ICE_SERVERS", "turn:user:secret@turn.example"),
        ("MEDIA_PORTS", "28999-28000"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_CONNECTIONS", "many"),
        ("DATABASE_WAIT_S", "0"),
        ("LOG_FORMAT", "xml"),
        ("LOST_AFTER_S", "0"),
        ("QUEUE_TIMEOUT_S", "nan"),
        ("REPLICA_ID", "Api 1"),
        ("CONFIG", "/nowhere.toml"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"QUARTERDECK_{variable}", value)
    with pytest.raises(settings.SettingsError, match=f"^QUARTERDECK_{variable}: "):
        settings.load()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"stale_after_s": 2}, "QUARTERDECK_STALE_AFTER_S: must be longer than heartbeat_interval_s"),
        ({"lost_after_s": 10}, "QUARTERDECK_LOST_AFTER_S: must be longer than stale_after_s"),
        ({"http_port": 50052}, "must differ"),
        ({"database_connections": 1, "database_connections_kept": 1}, "QUARTERDECK_DATABASE_CONNECTIONS: must be at"),
        ({"database_connections": 7}, "QUARTERDECK_DATABASE_CONNECTIONS_KEPT: must not exceed"),
        ({"grpc_port": 65535}, "must leave room"),
        ({"link_host": "0.0.0.0"}, "QUARTERDECK_ADVERTISED_HOST: is needed"),
        ({"local_vm_failures": "sold_out=0.6,broken=0.5"}, "QUARTERDECK_LOCAL_VM_FAILURES: .* must not exceed 1"),
        ({"local_vm_ports": "27000-27014"}, "QUARTERDECK_LOCAL_VM_PORTS: must hold 8 ports"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(settings.SettingsError, match=complaint):
        settings.load(**changes)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("attempts=0", "attempts must be from 1"),
        ("attempts", "could not convert"),
        ("multiplier=0.5", "multiplier must be from 1"),
        ("jitter=1.5", "jitter must be from 0 to 1"),
        ("cap_s=nan", "cap_s must be from 0"),
        ("tries=3", "knows no 'tries', only attempts"),
    ],
)
def test_a_senseless_retry_schedule_is_refused_by_name(value: str, complaint: str) -> None:
    with pytest.raises(settings.SettingsError, match=rf"RETRY_BOOT: {complaint}"):
        settings.load(retry_boot=value)


def test_every_kind_of_failure_has_its_own_schedule_and_keeps_the_figures_that_are_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUARTERDECK_RETRY_PROVISIONING", "attempts=2, cap_s=7")
    monkeypatch.setenv("QUARTERDECK_RETRY_BOOT", "jitter=0")
    monkeypatch.setenv("QUARTERDECK_RETRY_NETWORK", "budget_s=60")
    monkeypatch.setenv("QUARTERDECK_RETRY_PROVIDER_API", "first_delay_s=9,multiplier=3")
    schedules = bootstrap._renting(settings.load()).patience.schedules
    changes: dict[FailureKind, dict[str, Any]] = {
        FailureKind.PROVISIONING: {"attempts": 2, "cap_s": 7},
        FailureKind.BOOT: {"jitter": 0},
        FailureKind.NETWORK: {"budget_s": 60},
        FailureKind.PROVIDER_API: {"first_delay_s": 9, "multiplier": 3},
    }
    assert schedules == {kind: replace(DEFAULT_SCHEDULES[kind], **changes[kind]) for kind in FailureKind}


def test_the_provider_local_is_as_it_is_set_up() -> None:
    house = settings.load(
        local_vms="3",
        local_vm_delay_s="1.5",
        local_vm_price_micro_per_hour="250000",
        local_vm_failures="sold_out=0.25,silent=0.5",
        local_vm_regions="local,eu-west-1",
        local_vm_ports="42000-42099",
    )
    terms = bootstrap._providers(house)["local"]._terms  # type: ignore[attr-defined]
    kind = MachineType(price_micro_per_hour=250_000, templates=frozenset({"local"}))
    faults = {Fault.SOLD_OUT: 0.25, Fault.SILENT: 0.5}
    regions = frozenset({"local", "eu-west-1"})
    assert terms == Terms(3, regions, (kind,), 1.5, faults, (42000, 42099))
    assert bootstrap._providers(settings.load(local_vms="0")) == {}


def test_a_key_that_no_setting_has_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house.toml").write_text("htp_port = 1\n")
    monkeypatch.setenv("QUARTERDECK_CONFIG", str(tmp_path / "house.toml"))
    with pytest.raises(settings.SettingsError, match=r"^htp_port in .*house.toml: there is no such setting"):
        settings.load()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_TOKEN", "sesame")
    assert "sesame" not in repr(settings.load())


def test_nothing_else_in_the_control_plane_reads_the_environment() -> None:
    readers = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "controlplane").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
    }
    assert readers == {"controlplane/settings.py"}


@pytest.mark.parametrize(
    "url", ["s3://key:secret@bucket", "s3://bucket?key=secret", "/tmp/x", "file://host/x", "gs://b"]
)
def test_an_object_store_is_a_directory_or_a_bucket_without_credentials(url: str) -> None:
    with pytest.raises(settings.SettingsError) as refused:
        settings.load(objects_url=url)
    assert "secret" not in str(refused.value)


def test_objects_lie_in_the_data_directory_by_default(tmp_path: Path) -> None:
    assert settings.load().objects_url == (tmp_path / ".quarterdeck" / "objects").as_uri()
    assert settings.load(objects_url="s3://bucket/x").objects_url == "s3://bucket/x"


def test_a_rented_machine_gets_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("QUARTERDECK_TOKEN", "x")
    assert not {"AWS_SECRET_ACCESS_KEY", "QUARTERDECK_TOKEN"} & settings.foreign_environment().keys()


def test_a_value_may_be_in_a_file_as_secrets_are_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (mounted := tmp_path / "database-url").write_text("postgresql://quarterdeck:secret@db/house\n")
    monkeypatch.setenv("QUARTERDECK_DATABASE_URL_FILE", str(mounted))
    assert settings.load().database_url == "postgresql+psycopg://quarterdeck:secret@db/house"
    monkeypatch.setenv("QUARTERDECK_DATABASE_URL", "sqlite:///x")
    assert settings.load().database_url == "sqlite:///x"


def test_a_file_that_is_a_setting_itself_is_left_to_who_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_TOKEN_FILE", "/nowhere/token")
    house = settings.load()
    assert (house.token, house.token_file) == ("", Path("/nowhere/token"))


def test_a_mounted_value_that_is_missing_or_wrong_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUARTERDECK_DATABASE_URL_FILE", str(tmp_path / "absent"))
    with pytest.raises(settings.SettingsError, match=r"^QUARTERDECK_DATABASE_URL_FILE: .*absent cannot be read"):
        settings.load()
    (tmp_path / "absent").write_text("mysql://db")
    with pytest.raises(settings.SettingsError, match=r"^QUARTERDECK_DATABASE_URL_FILE: must start with"):
        settings.load()


def test_how_many_streams_one_subject_may_have_open_is_a_setting() -> None:
    assert bootstrap._listening(settings.load()).limits.open_streams_each == 1024
    assert bootstrap._listening(settings.load(grpc_streams_per_subject="3000")).limits.open_streams_each == 3000
