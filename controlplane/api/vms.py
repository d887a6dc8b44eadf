"""VmService: operators' verbs for machines, translated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from quarterdeck.v1 import vms_pb2 as pb
from quarterdeck.v1 import vms_pb2_grpc as rpc
from quarterdeck.v1.hosts_pb2 import PortRange

from controlplane.api import identity, pages
from controlplane.api.mapping.fleet import attempt_message, transition_message, vm_message, vm_states_of
from controlplane.api.mapping.placement import coordinates_of, passed_over_message
from controlplane.api.mapping.values import last_part, timestamp
from controlplane.domain.identity import Principal
from controlplane.domain.vm import STATIC, Vm
from controlplane.usecases import assignment, vm_states, vms
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
        rented = await vm_states.provisionings(self._world, kept)
        return pb.ListVmsResponse(vms=[vm_message(vm, rented.get(vm.id)) for vm in kept], next_page_token=token)

    async def GetVm(self, request: pb.GetVmRequest, context: Any) -> pb.Vm:
        return await self._told(await vms.get_vm(self._world, identity.principal(), last_part(request.name)))

    async def FindVm(self, request: pb.FindVmRequest, context: Any) -> pb.FindVmResponse:
        wish = assignment.VmWish(
            game_id=last_part(request.game),
            preset_id=request.preset,
            region_id=request.region,
            coordinates=coordinates_of(request),
            territory=request.territory,
        )
        found = await assignment.find_vm(self._world, identity.principal(), wish)
        return pb.FindVmResponse(
            vm=vm_message(found.vm) if found.vm else None,
            units=found.units,
            passed_over=map(passed_over_message, found.passed_over),
        )

    async def CreateVm(self, request: pb.CreateVmRequest, context: Any) -> pb.Vm:
        wanted = vms.VmRequest(
            vm_id=request.vm_id,
            region_id=request.region,
            template_id=request.template or OWNED_TEMPLATE,
            advertised_address=request.advertised_address,
            client_token=request.client_token,
            provider=request.provider or STATIC,
            fallback_region_ids=tuple(request.fallback_regions),
            media_ports=_range(request.port_range) if request.HasField("port_range") else None,
        )
        vm = await vms.create_vm(self._world, identity.principal(), wanted, identity.request_id())
        return await self._told(vm)

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
        return await self._do(vms.drain_vm, request.name)

    async def UndrainVm(self, request: pb.UndrainVmRequest, context: Any) -> pb.Vm:
        return await self._do(vms.undrain_vm, request.name)

    async def TerminateVm(self, request: pb.TerminateVmRequest, context: Any) -> pb.Vm:
        return await self._do(partial(vms.terminate_vm, force=request.force, reason=request.reason), request.name)

    async def StopVm(self, request: pb.StopVmRequest, context: Any) -> pb.Vm:
        return await self._do(vm_states.stop_vm, request.name)

    async def StartVm(self, request: pb.StartVmRequest, context: Any) -> pb.Vm:
        return await self._do(vm_states.start_vm, request.name)

    async def FailVm(self, request: pb.FailVmRequest, context: Any) -> pb.Vm:
        return await self._do(partial(vm_states.fail_vm, reason=request.reason), request.name)

    async def MarkVmReady(self, request: pb.MarkVmReadyRequest, context: Any) -> pb.Vm:
        return await self._do(vm_states.mark_vm_ready, request.name)

    async def ListVmTransitions(
        self, request: pb.ListVmTransitionsRequest, context: Any
    ) -> pb.ListVmTransitionsResponse:
        who, vm_id = identity.principal(), last_part(request.parent)
        query = ("transitions", who.project_id, vm_id)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await vm_states.list_transitions(self._world, who, vm_id, page)
        kept, token = pages.split(page, found, lambda change: (change.at, str(change.version)), *query)
        return pb.ListVmTransitionsResponse(transitions=map(transition_message, kept), next_page_token=token)

    async def ListVmAttempts(self, request: pb.ListVmAttemptsRequest, context: Any) -> pb.ListVmAttemptsResponse:
        who, vm_id = identity.principal(), last_part(request.parent)
        query = ("attempts", who.project_id, vm_id)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await vm_states.list_attempts(self._world, who, vm_id, page)
        kept, token = pages.split(page, found, lambda attempt: (attempt.started_at, str(attempt.number)), *query)
        return pb.ListVmAttemptsResponse(attempts=map(attempt_message, kept), next_page_token=token)

    async def _do(self, verb: Callable[[World, Principal, str, str], Awaitable[Vm]], name: str) -> pb.Vm:
        vm = await verb(self._world, identity.principal(), last_part(name), identity.request_id())
        return await self._told(vm)

    async def _told(self, vm: Vm) -> pb.Vm:
        return vm_message(vm, (await vm_states.provisionings(self._world, [vm])).get(vm.id))


def _range(wire: PortRange) -> tuple[int, int]:
    return wire.first, wire.last
