"""Pools and the budget over gRPC: edited field by field, refused by name, seen by nobody else."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from quarterdeck.v1 import pools_pb2 as pb
from quarterdeck.v1 import pools_pb2_grpc

from controlplane.adapters.clouds.local import LocalProvider
from tests.component.api.plane import Caller, Plane
from tests.component.api.refusals import refused


async def test_the_budget_is_edited_field_by_field(api: Plane, operator: Caller) -> None:
    stub = pools_pb2_grpc.PoolServiceStub(operator.channel)
    assert await stub.GetBudget(pb.GetBudgetRequest()) == pb.Budget(currency="USD")
    raised = pb.UpdateBudgetRequest(budget=pb.Budget(micro_per_hour=2_500_000))
    assert (await stub.UpdateBudget(raised)).micro_per_hour == 2_500_000
    euros = pb.UpdateBudgetRequest(budget=pb.Budget(currency="EUR"), update_mask=FieldMask(paths=["currency"]))
    assert await stub.UpdateBudget(euros) == pb.Budget(micro_per_hour=2_500_000, currency="EUR")
    refusal = await refused(stub.UpdateBudget(pb.UpdateBudgetRequest(budget=pb.Budget(micro_per_hour=-1))))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("budget.micro_per_hour",))


async def test_a_pool_is_made_changed_and_forgotten(
    api: Plane, operator: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api.world.providers, "local", LocalProvider(tmp_path / "vms", {}))  # type: ignore[arg-type]
    stub = pools_pb2_grpc.PoolServiceStub(operator.channel)
    wanted = pb.Pool(provider="local", region="local", template="local", min_free_slots=2, max_vms=3)
    new = pb.CreatePoolRequest(pool_id="warm", pool=wanted)
    made = await stub.CreatePool(new)
    assert (made.name, made.idle_after.ToSeconds(), made.scale_to_zero) == ("pools/warm", 600, False)
    assert await stub.CreatePool(new) == made
    change = pb.Pool(name="pools/warm", max_vms=5, idle_after=Duration(seconds=30))
    changed = await stub.UpdatePool(pb.UpdatePoolRequest(pool=change))
    assert (changed.min_free_slots, changed.max_vms, changed.idle_after.ToSeconds()) == (2, 5, 30)
    to_nothing = pb.UpdatePoolRequest(pool=pb.Pool(name="pools/warm"), update_mask=FieldMask(paths=["min_free_slots"]))
    assert (await stub.UpdatePool(to_nothing)).min_free_slots == 0
    assert [pool.name for pool in (await stub.ListPools(pb.ListPoolsRequest())).pools] == ["pools/warm"]

    moved = await refused(stub.UpdatePool(pb.UpdatePoolRequest(pool=pb.Pool(name="pools/warm", region="eu-west-1"))))
    assert (moved.code, moved.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "POOL_KIND_FIXED")
    empty = await refused(stub.CreatePool(pb.CreatePoolRequest(pool_id="x", pool=pb.Pool(provider="nobody"))))
    assert (empty.reason, empty.fields) == ("PROVIDER_UNKNOWN", ("pool.provider",))
    await stub.DeletePool(pb.DeletePoolRequest(name="pools/warm"))
    gone = await refused(stub.GetPool(pb.GetPoolRequest(name="pools/warm")))
    assert gone.code == grpc.StatusCode.NOT_FOUND
