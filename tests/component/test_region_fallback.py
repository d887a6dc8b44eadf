"""A region that is full, forbidden or failing, on a whole house over REST: sessions land in the right next one, and the
answer says why each other was passed over. The hosts are simulated; they speak the real agent link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.component.swarm import Door, Swarm, swarming
from tests.house import House

pytestmark = pytest.mark.timeout(300)

WITHIN_S = 60.0
REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    settings = {
        "heartbeat_interval_s": "0.5",
        "stale_after_s": "6",
        "lost_after_s": "600",
        "restart_grace_s": "0",
        "local_vm_regions": "us-west-2",
        "provider_poll_s": "0.3",
        "provider_listing_lag_s": "0.5",
    }
    with House(tmp_path, "--no-agent", **settings) as house:
        yield house


class Operator:
    """REST with the operator's token."""

    def __init__(self, house: House, client: httpx.AsyncClient) -> None:
        self.house = house
        self._client = client

    async def call(self, method: str, path: str, **body: Any) -> Any:
        answer = await self._client.request(method, path, json=body or None)
        assert answer.status_code == 200, answer.text + self.house.logs()
        return answer.json()

    async def ask(self, region: str, **wish: Any) -> Any:
        return await self.call("POST", "/v1/sessions", game="games/broadside", region=region, **wish)

    async def until(self, path: str, field: str, *values: str) -> Any:
        async with asyncio.timeout(WITHIN_S):
            while (found := await self.call("GET", path))[field] not in values:
                await asyncio.sleep(0.1)
        return found


@asynccontextmanager
async def served(house: House) -> AsyncIterator[tuple[Operator, dict[str, Any]]]:
    """An operator, and in each region one host with one slot."""
    token = (house.data_dir / "operator.token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=60) as client:
        operator = Operator(house, client)
        tokens = {}
        for region in REGIONS:
            await operator.call("POST", "/v1/vms", vmId=region, region=region)
            joined = await operator.call("POST", f"/v1/vms/{region}:createJoinToken")
            tokens[region] = joined["token"]
        link = f"127.0.0.1:{house.environment['QUARTERDECK_LINK_PORT']}"
        door = Door(f"127.0.0.1:{house.grpc_port}", link, joined["enrolmentTarget"])
        ca_pem = next((house.data_dir / "ca").glob("*.crt")).read_text()
        async with swarming([door], ca_pem, tokens, slots=1) as swarm:
            yield operator, by_region(swarm)


def by_region(swarm: Swarm) -> dict[str, Any]:
    return {host.name: host for host in swarm.hosts}


def told(session: Any) -> dict[str, str]:
    """Why each was passed over, by the VM's name, or the region's where it is the whole region."""
    return {entry["vm"] or f"regions/{entry['region']}": entry["why"] for entry in session["passedOver"]}


FULL = "is full: no free seat on 1 VMs"


async def test_sessions_land_in_the_right_next_region_and_the_answer_says_why(house: House) -> None:
    async with served(house) as (operator, hosts):
        first = await operator.ask("eu-west-1")
        assert (first["region"], first["passedOver"]) == ("eu-west-1", [])

        second = await operator.ask("eu-west-1")
        assert (second["region"], told(second)) == ("eu-central-1", {"regions/eu-west-1": FULL})
        await operator.call("POST", f"/v1/{second['name']}:release", vm=second["vm"])
        await operator.until(f"/v1/{second['name']}", "state", "SESSION_STATE_STOPPED")

        await hosts["eu-central-1"].leave()
        await operator.until("/v1/hosts/eu-central-1", "state", "HOST_STATE_STALE")
        await operator.call("PATCH", "/v1/regions/us-east-1", law={"deny": ["FR"]})
        reasons = {
            "regions/eu-west-1": FULL,
            "vms/eu-central-1": "its host is STALE",
            "regions/us-east-1": "may not serve players from FR",
        }
        found = await operator.call("POST", "/v1/vms:find", game="games/broadside", region="eu-west-1", territory="FR")
        assert (found["vm"]["name"], told(found)) == ("vms/us-west-2", reasons)
        third = await operator.ask("eu-west-1", territory="FR")
        assert (third["region"], third["vm"], told(third)) == ("us-west-2", "vms/us-west-2", reasons)
        assert third["reasonDetail"].startswith("placed in us-west-2: ")

        waiting = await operator.ask("eu-west-1", territory="FR", queueTimeout="60s")
        assert (waiting["state"], waiting["queuePosition"]) == ("SESSION_STATE_PENDING", 1)
        assert told(waiting).items() >= {**reasons, "regions/us-west-2": FULL}.items()

        fourth = await operator.ask("eu-west-1", territory="IE", queueTimeout="0s")
        del reasons["regions/us-east-1"]
        assert (fourth["region"], told(fourth)) == ("us-east-1", reasons)

        await operator.call("POST", f"/v1/{first['name']}:release", vm=first["vm"])
        placed = await operator.until(f"/v1/{waiting['name']}", "state", "SESSION_STATE_RUNNING")
        assert placed["region"] == "eu-west-1"


async def test_a_vm_in_error_or_draining_is_passed_over_and_a_rented_one_comes_from_where_there_is_one(
    house: House,
) -> None:
    async with served(house) as (operator, _):
        await operator.call("POST", "/v1/vms/eu-west-1:error", reason="GPU_FAILURE: fell off the bus")
        await operator.call("POST", "/v1/vms/eu-central-1:drain")
        session = await operator.ask("eu-west-1")
        assert session["region"] == "us-east-1"
        assert told(session) == {
            "regions/eu-west-1": "has no VM that takes sessions: 1 ERROR",
            "regions/eu-central-1": "has no VM that takes sessions: 1 DRAINING",
        }
        await operator.call(
            "POST", "/v1/vms", vmId="rented", provider="local", region="eu-west-1", fallbackRegions=["us-west-2"]
        )
        try:
            rented = await operator.until("/v1/vms/rented", "state", "VM_STATE_READY")
            assert rented["region"] == "us-west-2"
            (attempt,) = (await operator.call("GET", "/v1/vms/rented/attempts"))["attempts"]
            assert (attempt["region"], attempt["purpose"]) == ("us-west-2", "RENT")
        finally:
            await operator.call("POST", "/v1/vms/rented:terminate")
            await operator.until("/v1/vms/rented", "state", "VM_STATE_TERMINATED")
