"""The orchestrator service of seeds 000 and 001: their objects, over the use cases of the house paths."""

from __future__ import annotations

from typing import Any

from quarterdeck.compat.v1 import orchestrator_pb2 as pb
from quarterdeck.compat.v1 import orchestrator_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.mapping.compat import (
    fault,
    find_vm_response,
    metrics,
    region_capacity,
    vm_capacity,
    vm_dto,
    vm_session,
)
from controlplane.api.mapping.placement import coordinates_of
from controlplane.api.vms import OWNED_TEMPLATE
from controlplane.domain.session import ON_HOST
from controlplane.domain.vm import STATIC
from controlplane.interfaces import Page
from controlplane.usecases import assignment, availability, capacity, sessions, vm_states, vms
from controlplane.usecases.world import World

# More sessions than any machine has seats.
ONE_VM = Page(size=1000)


class OrchestratorServicer(rpc.OrchestratorServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def CreateVm(self, request: pb.CreateVmRequest, context: Any) -> pb.VmDto:
        wanted = vms.VmRequest(
            vm_id="",
            region_id=request.region,
            template_id=request.template_id or OWNED_TEMPLATE,
            client_token=request.client_token,
            provider=request.provider or STATIC,
        )
        return vm_dto(await vms.create_vm(self._world, identity.principal(), wanted, identity.request_id()))

    async def GetVm(self, request: pb.GetVmRequest, context: Any) -> pb.VmDto:
        return vm_dto(await vms.get_vm(self._world, identity.principal(), request.vm_id))

    async def MarkVmDraining(self, request: pb.MarkVmDrainingRequest, context: Any) -> pb.VmDto:
        who = identity.principal()
        return vm_dto(await vms.drain_vm(self._world, who, request.vm_id, identity.request_id()))

    async def TerminateVm(self, request: pb.TerminateVmRequest, context: Any) -> pb.VmDto:
        who = identity.principal()
        vm = await vms.terminate_vm(
            self._world, who, request.vm_id, identity.request_id(), force=request.force, reason=request.reason
        )
        return vm_dto(vm)

    async def MarkVmReady(self, request: pb.MarkVmReadyRequest, context: Any) -> pb.VmDto:
        who = identity.principal()
        return vm_dto(await vm_states.mark_vm_ready(self._world, who, request.vm_id, identity.request_id()))

    async def HandleVmError(self, request: pb.HandleVmErrorRequest, context: Any) -> pb.VmDto:
        reason = fault(request.error_code, request.error_message)
        vm = await vm_states.fail_vm(
            self._world, identity.principal(), request.vm_id, identity.request_id(), reason=reason
        )
        return vm_dto(vm)

    async def FindVm(self, request: pb.FindVmRequest, context: Any) -> pb.FindVmResponse:
        wish = assignment.VmWish(
            game_id=request.game_id,
            preset_id=request.preset,
            region_id=request.region,
            coordinates=coordinates_of(request),
            territory=request.territory,
        )
        return find_vm_response(await assignment.find_vm(self._world, identity.principal(), wish))

    async def AssignSession(self, request: pb.AssignSessionRequest, context: Any) -> pb.VmSession:
        view = await assignment.assign_session(
            self._world, identity.principal(), request.session_id, request.vm_id, identity.request_id()
        )
        return vm_session(view.session)

    async def ReleaseSession(self, request: pb.ReleaseSessionRequest, context: Any) -> pb.VmSession:
        view = await assignment.release_session(
            self._world, identity.principal(), request.vm_id, request.session_id, identity.request_id()
        )
        return vm_session(view.session)

    async def GetRegionCapacity(self, request: pb.GetRegionCapacityRequest, context: Any) -> pb.RegionCapacity:
        (found,) = await capacity.capacities(self._world, identity.principal(), request.region)
        return region_capacity(found)

    async def ListRegionCapacities(
        self, request: pb.ListRegionCapacitiesRequest, context: Any
    ) -> pb.ListRegionCapacitiesResponse:
        found = await capacity.capacities(self._world, identity.principal())
        return pb.ListRegionCapacitiesResponse(regions=map(region_capacity, found))

    async def GetMetrics(self, request: pb.GetMetricsRequest, context: Any) -> pb.Metrics:
        who = identity.principal()
        figures = await availability.vm_figures(self._world, who)
        return metrics(figures, await capacity.capacities(self._world, who))

    async def ListAvailableVms(self, request: pb.ListAvailableVmsRequest, context: Any) -> pb.ListAvailableVmsResponse:
        found = await availability.available_vms(self._world, identity.principal(), request.region)
        return pb.ListAvailableVmsResponse(region=request.region, vms=map(vm_dto, found))

    async def ListVmSessions(self, request: pb.ListVmSessionsRequest, context: Any) -> pb.ListVmSessionsResponse:
        who = identity.principal()
        vm = await vms.get_vm(self._world, who, request.vm_id)
        views = await sessions.list_sessions(self._world, who, sorted(ON_HOST), vm.id, ONE_VM)
        return pb.ListVmSessionsResponse(vm_id=vm.id, sessions=[vm_session(view.session) for view in views])

    async def GetVmCapacity(self, request: pb.GetVmCapacityRequest, context: Any) -> pb.VmCapacity:
        return vm_capacity(*await availability.vm_room(self._world, identity.principal(), request.vm_id))
