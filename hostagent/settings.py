"""The agent's settings: frozen, complete before anything starts. The command line fills them; nothing else is read."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from hostagent.runtime.choice import RuntimeChoice
from hostagent.runtime.dockersettings import DockerSettings
from hostagent.runtime.process import ProcessLimits, default_command


@dataclass(frozen=True)
class Settings:
    """`link_target` replaces the one given at enrolment."""

    data_dir: Path
    enrolment_target: str | None = None
    ca_sha256: str | None = None
    join_token: str | None = None
    join_token_file: Path | None = None
    link_target: str | None = None
    advertised_addresses: tuple[str, ...] = ()
    stop_sessions_on_exit: bool = False
    orphan_grace_s: float = 5.0
    measure_s: float = 10.0
    wrapper_command: tuple[str, ...] = field(default_factory=default_command)
    probe_command: tuple[str, ...] = field(default_factory=lambda: default_probe())
    limits: ProcessLimits = field(default_factory=ProcessLimits)
    runtime: RuntimeChoice = RuntimeChoice.AUTO
    docker: DockerSettings = field(default_factory=DockerSettings)

    @property
    def sessions_dir(self) -> Path:
        """Where the session directories lie."""
        return self.data_dir / "sessions"


def default_probe() -> tuple[str, ...]:
    """The program that tries the encoders of this machine and prints what works."""
    # Politely, and in the agent's own session, where niceness counts: what plays on through its restart comes first.
    return ("nice", "-n", "10", sys.executable, "-P", "-m", "wrapper.probe")
