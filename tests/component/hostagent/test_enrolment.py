"""Enrolment over real TLS: what is believed, what is sent, what is said when it fails."""

from __future__ import annotations

from pathlib import Path

from controlplane.adapters.ca import FileCertificateAuthority
from tests.component.hostagent.conftest import Agents, exit_code
from tests.component.hostagent.fakeplane import FakePlane


async def test_a_wrong_pin_is_refused_before_the_token_is_sent(
    plane: FakePlane, agents: Agents, tmp_path: Path
) -> None:
    stranger = FileCertificateAuthority(tmp_path / "stranger", 3600)
    agent = agents.start(pin=stranger.ca_sha256)
    assert await exit_code(agent) == 3
    assert "does not show the pinned CA" in agents.log()
    assert "the join token has not been sent" in agents.log()
    assert plane.enrolments == 0
    assert plane.tokens == {"token-1", "token-2"}
    assert (agents.root / "agent.token").exists()


async def test_a_used_token_is_refused_with_the_reason(plane: FakePlane, agents: Agents) -> None:
    agents.start(name="first")
    await plane.until(lambda: plane.streams)
    second = agents.start(name="second", token="token-1")
    assert await exit_code(second) == 3
    assert "the join token is unknown, used or expired" in agents.log("second")
    assert not (agents.data_dir("second") / "identity.json").exists()


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(plane: FakePlane, agents: Agents) -> None:
    plane.lose_answers = 2
    agents.start()
    await plane.until(lambda: plane.streams)
    assert plane.enrolments == 3
    assert "enrolment not possible yet" in agents.log()


async def test_an_enrolled_agent_needs_no_token_again(plane: FakePlane, agents: Agents) -> None:
    agent = agents.start()
    await plane.until(lambda: plane.streams)
    agent.kill()
    agent.wait()
    agents.start()
    await plane.until(lambda: len(plane.streams) == 2)
    assert plane.enrolments == 1


async def test_an_agent_without_a_token_says_what_it_needs(plane: FakePlane, agents: Agents) -> None:
    agents.data_dir().mkdir()
    agent = agents.start()
    assert await exit_code(agent) == 3
    assert "--join-token-file" in agents.log()


async def test_one_data_directory_has_one_agent(plane: FakePlane, agents: Agents) -> None:
    agents.start()
    await plane.until(lambda: plane.streams)
    second = agents.start()
    assert await exit_code(second) == 1
    assert "another agent works on" in agents.log()


async def test_secrets_stay_out_of_arguments_and_logs(plane: FakePlane, agents: Agents) -> None:
    agent = agents.start(token="token-2")
    await plane.until(lambda: plane.streams)
    assert b"token-2" not in Path(f"/proc/{agent.pid}/cmdline").read_bytes()
    assert "token-2" not in agents.log()
    assert "PRIVATE KEY" not in agents.log()


async def test_a_bad_option_is_named(agents: Agents) -> None:
    agent = agents.start("--ca-sha256", "zz")
    assert await exit_code(agent) == 2
    assert "--ca-sha256" in agents.log()
