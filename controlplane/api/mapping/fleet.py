"""VMs and hosts on the wire, and the inventory that an agent sends."""

from __future__ import annotations

from quarterdeck.v1 import hosts_pb2, vms_pb2

from controlplane.api.mapping.sessions import usage_message
from controlplane.api.mapping.values import enum_member, enum_value, named, timestamp
from controlplane.domain.attempt import Attempt, Outcome
from controlplane.domain.host import Encoder, Gpu, Host, Inventory
from controlplane.domain.provisioning import Provisioning
from controlplane.domain.vm import Transition, Vm, VmState


def vm_states_of(message: vms_pb2.ListVmsRequest) -> tuple[VmState, ...]:
    return tuple(enum_member(vms_pb2.VmState, "VM_STATE", s, VmState) for s in message.states)


def vm_message(vm: Vm, row: Provisioning | None = None) -> vms_pb2.Vm:
    """`row` is what a rented VM has beside."""
    enrolled = vm.state not in (VmState.TEMPLATE, VmState.PROVISIONING)
    return vms_pb2.Vm(
        name=vm.name,
        provider=vm.provider,
        region=vm.region_id,
        template=vm.template_id,
        state=enum_value(vms_pb2.VmState, "VM_STATE", vm.state),
        reason_detail=vm.reason_detail,
        capacity_units=vm.capacity_units,
        used_units=vm.used_units,
        active_sessions=vm.active_sessions,
        create_time=timestamp(vm.created_at),
        update_time=timestamp(vm.updated_at),
        host=named("hosts", vm.id if enrolled else ""),
        advertised_address=vm.advertised_address,
        provisioning=_provisioning_message(row) if row else None,
        port_range=hosts_pb2.PortRange(first=vm.media_ports[0], last=vm.media_ports[1]),
    )


def _provisioning_message(row: Provisioning) -> vms_pb2.Provisioning:
    waiting = row.last is not None and row.last.outcome is not Outcome.OPEN
    return vms_pb2.Provisioning(
        phase=str(row.phase),
        instance=row.instance_id,
        tag=row.tag,
        machine_type=row.offer.machine_type if row.offer else "",
        price_micro_per_hour=row.offer.price_micro_per_hour if row.offer else 0,
        currency=row.offer.currency if row.offer else "",
        attempt=row.attempt,
        next_attempt_time=timestamp(row.last.next_attempt_at if row.last and waiting else None),
        error_code=row.failure.code if row.failure else "",
        error_message=row.failure.message if row.failure else "",
    )


def transition_message(change: Transition) -> vms_pb2.VmTransition:
    return vms_pb2.VmTransition(
        previous_state=enum_value(vms_pb2.VmState, "VM_STATE", VmState(change.previous)) if change.previous else None,
        state=enum_value(vms_pb2.VmState, "VM_STATE", VmState(change.state)),
        trigger=change.trigger,
        detail=change.detail,
        time=timestamp(change.at),
        version=change.version,
    )


def attempt_message(attempt: Attempt) -> vms_pb2.VmAttempt:
    offer, failure = attempt.offer, attempt.failure
    return vms_pb2.VmAttempt(
        number=attempt.number,
        purpose=str(attempt.purpose),
        outcome=str(attempt.outcome),
        provider=offer.provider if offer else "",
        region=offer.region_id if offer else "",
        machine_type=offer.machine_type if offer else "",
        price_micro_per_hour=offer.price_micro_per_hour if offer else 0,
        currency=offer.currency if offer else "",
        instance=attempt.instance_id,
        start_time=timestamp(attempt.started_at),
        end_time=timestamp(attempt.ended_at),
        failure_kind=str(failure.kind) if failure else "",
        remedy=str(failure.remedy) if failure else "",
        error_code=failure.code if failure else "",
        error_message=failure.message if failure else "",
        next_attempt_time=timestamp(attempt.next_attempt_at),
    )


def host_message(host: Host, plan_version: int) -> hosts_pb2.Host:
    return hosts_pb2.Host(
        name=host.name,
        vm=named("vms", host.id),
        state=enum_value(hosts_pb2.HostState, "HOST_STATE", host.state),
        epoch=host.epoch,
        last_heartbeat_time=timestamp(host.last_heartbeat_at),
        inventory=_inventory_message(host.inventory),
        plan_version=plan_version,
        observed_plan_version=host.observed_plan_version,
        workloads=host.workloads,
        revoked=host.revoked_at is not None,
        usage=usage_message(host.usage),
        api_replica=host.link_replica,
    )


def inventory_of(wire: hosts_pb2.Inventory) -> Inventory:
    return Inventory(
        cpu_count=wire.cpu_count,
        memory_bytes=wire.memory_bytes,
        disk_free_bytes=wire.disk_free_bytes,
        gpus=tuple(Gpu(gpu.index, gpu.model, gpu.memory_bytes, gpu.driver_version) for gpu in wire.gpus),
        encoders=tuple(Encoder(encoder.encoder_name, encoder.slots) for encoder in wire.encoders),
        runtimes=tuple(wire.runtimes),
        has_display_server=wire.has_display_server,
        agent_version=wire.agent_version,
        operating_system=wire.operating_system,
        ephemeral_ports=tuple((span.first, span.last) for span in wire.ephemeral_ports if span.first <= span.last),
    )


def _inventory_message(inventory: Inventory) -> hosts_pb2.Inventory:
    return hosts_pb2.Inventory(
        cpu_count=inventory.cpu_count,
        memory_bytes=inventory.memory_bytes,
        disk_free_bytes=inventory.disk_free_bytes,
        gpus=[
            hosts_pb2.Gpu(
                index=gpu.index, model=gpu.model, memory_bytes=gpu.memory_bytes, driver_version=gpu.driver_version
            )
            for gpu in inventory.gpus
        ],
        encoders=[hosts_pb2.Encoder(encoder_name=e.name, slots=e.slots) for e in inventory.encoders],
        runtimes=inventory.runtimes,
        has_display_server=inventory.has_display_server,
        agent_version=inventory.agent_version,
        operating_system=inventory.operating_system,
        ephemeral_ports=[hosts_pb2.PortRange(first=first, last=last) for first, last in inventory.ephemeral_ports],
    )
