"""The orchestrator service of seeds 000 and 001: their objects, over the use cases of the house paths."""

from __future__ import annotations

from typing import Any

from quarterdeck.compat.v1 import orchestrator_pb2 as pb
from quarterdeck.compat.v1 import orchestrator_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.mapping.compat import vm_capacity, vm_dto, vm_session
from controlplane.api.vms import OWNED_TEMPLATE
from controlplane.domain.session import ON_HOST
from controlplane.interfaces import Page
from controlplane.usecases import sessions, vms
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
        )
        return vm_dto(await vms.create_vm(self._world, identity.principal(), wanted, identity.request_id()))

    async def GetVm(self, request: pb.GetVmRequest, context: Any) -> pb.VmDto:
        return vm_dto(await vms.get_vm(self._world, identity.principal(), request.vm_id))

    async def MarkVmDraining(self, request: pb.MarkVmDrainingRequest, context: Any) -> pb.VmDto:
        who = identity.principal()
        return vm_dto(await vms.drain_vm(self._world, who, request.vm_id, identity.request_id()))

    async def TerminateVm(self, request: pb.TerminateVmRequest, context: Any) -> pb.VmDto:
        who = identity.principal()
        vm = await vms.terminate_vm(self._world, who, request.vm_id, identity.request_id(), force=request.force)
        return vm_dto(vm)

    async def ListVmSessions(self, request: pb.ListVmSessionsRequest, context: Any) -> pb.ListVmSessionsResponse:
        who = identity.principal()
        vm = await vms.get_vm(self._world, who, request.vm_id)
        views = await sessions.list_sessions(self._world, who, sorted(ON_HOST), vm.id, ONE_VM)
        return pb.ListVmSessionsResponse(vm_id=vm.id, sessions=[vm_session(view.session) for view in views])

    async def GetVmCapacity(self, request: pb.GetVmCapacityRequest, context: Any) -> pb.VmCapacity:
        return vm_capacity(await vms.get_vm(self._world, identity.principal(), request.vm_id))
