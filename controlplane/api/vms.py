"""VmService: operators' verbs for machines, translated."""

from __future__ import annotations

from typing import Any

from quarterdeck.v1 import vms_pb2 as pb
from quarterdeck.v1 import vms_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.mapping.fleet import vm_message, vm_states_of
from controlplane.api.mapping.values import last_part, timestamp
from controlplane.usecases import vms
from controlplane.usecases.world import World

OWNED_TEMPLATE = "local"


class VmServicer(rpc.VmServiceServicer):
    """`enrolment_target` is HOST:PORT of the enrolment listener, as agents dial it."""

    def __init__(self, world: World, enrolment_target: str) -> None:
        self._world = world
        self._enrolment_target = enrolment_target

    async def ListVms(self, request: pb.ListVmsRequest, context: Any) -> pb.ListVmsResponse:
        who, states = identity.principal(), vm_states_of(request)
        query = ("vms", who.project_id, states)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await vms.list_vms(self._world, who, states, page)
        kept, token = pages.split(page, found, lambda vm: (vm.created_at, vm.id), *query)
        return pb.ListVmsResponse(vms=map(vm_message, kept), next_page_token=token)

    async def GetVm(self, request: pb.GetVmRequest, context: Any) -> pb.Vm:
        return vm_message(await vms.get_vm(self._world, identity.principal(), last_part(request.name)))

    async def CreateVm(self, request: pb.CreateVmRequest, context: Any) -> pb.Vm:
        wanted = vms.VmRequest(
            vm_id=request.vm_id,
            region_id=request.region,
            template_id=request.template or OWNED_TEMPLATE,
            advertised_address=request.advertised_address,
            client_token=request.client_token,
        )
        return vm_message(await vms.create_vm(self._world, identity.principal(), wanted, identity.request_id()))

    async def CreateJoinToken(self, request: pb.CreateJoinTokenRequest, context: Any) -> pb.JoinToken:
        token, ends_at = await vms.create_join_token(
            self._world, identity.principal(), last_part(request.name), identity.request_id()
        )
        return pb.JoinToken(
            token=token,
            expire_time=timestamp(ends_at),
            ca_sha256=self._world.authority.ca_sha256,
            enrolment_target=self._enrolment_target,
        )

    async def DrainVm(self, request: pb.DrainVmRequest, context: Any) -> pb.Vm:
        vm_id = last_part(request.name)
        return vm_message(await vms.drain_vm(self._world, identity.principal(), vm_id, identity.request_id()))

    async def UndrainVm(self, request: pb.UndrainVmRequest, context: Any) -> pb.Vm:
        vm_id = last_part(request.name)
        return vm_message(await vms.undrain_vm(self._world, identity.principal(), vm_id, identity.request_id()))

    async def TerminateVm(self, request: pb.TerminateVmRequest, context: Any) -> pb.Vm:
        vm = await vms.terminate_vm(
            self._world,
            identity.principal(),
            last_part(request.name),
            identity.request_id(),
            force=request.force,
        )
        return vm_message(vm)
