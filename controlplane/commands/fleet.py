"""`quarterdeck hosts …` and `quarterdeck vms …`: what the fleet has."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile

hosts = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Hosts: the agents' presence on the machines.")
vms = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="VMs: the machines, rented or owned.")

Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]


class VmState(StrEnum):
    TEMPLATE = "TEMPLATE"
    PROVISIONING = "PROVISIONING"
    BOOTING = "BOOTING"
    READY = "READY"
    IN_USE = "IN_USE"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"


@hosts.command("list")
def list_hosts(
    limit: Limit = 100, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """List hosts.

    \b
    quarterdeck hosts list
    quarterdeck hosts list --output json
    """
    from quarterdeck.v1 import hosts_pb2, hosts_pb2_grpc

    from controlplane.commands.calls import calling, clock, pages, show_list

    with calling(target, token_file) as call:
        stub = hosts_pb2_grpc.HostServiceStub(call.channel)
        found = pages(call, stub.ListHosts, hosts_pb2.ListHostsRequest(), "hosts", limit)
    columns = {
        "HOST": lambda h: h.name,
        "STATE": _state,
        "LAST HEARTBEAT": lambda h: clock(h, "last_heartbeat_time"),
        "SESSIONS": lambda h: str(h.workloads),
        "CPUS": lambda h: str(h.inventory.cpu_count or "-"),
        "GPUS": lambda h: ", ".join(gpu.model for gpu in h.inventory.gpus),
        "ENCODERS": lambda h: ", ".join(encoder.encoder_name for encoder in h.inventory.encoders),
        "PLAN": _plan,
    }
    show_list("hosts", found, output, columns)


@hosts.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="HOST", help="hosts/ID, or the ID alone: its VM's.")],
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Refuse a stolen host's certificates from now on, and cut its link. Inviting its VM anew lets it back in.

    \b
    quarterdeck hosts revoke den-1
    """
    from quarterdeck.v1 import hosts_pb2, hosts_pb2_grpc

    from controlplane.commands.calls import calling, resource, show

    with calling(target, token_file) as call:
        stub = hosts_pb2_grpc.HostServiceStub(call.channel)
        host = call(stub.RevokeHost, hosts_pb2.RevokeHostRequest(name=resource("hosts", name)))
    show(host, output, lambda h: (("host", h.name), ("state", _state(h)), ("sessions", str(h.workloads))))


@vms.command("list")
def list_vms(
    state: Annotated[list[VmState] | None, typer.Option(help="Only these states; may be repeated.")] = None,
    limit: Limit = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List VMs.

    \b
    quarterdeck vms list --state READY --state IN_USE
    """
    from quarterdeck.v1 import vms_pb2, vms_pb2_grpc

    from controlplane.commands.calls import calling, enum_word, pages, show_list

    wanted = [f"VM_STATE_{word}" for word in state or ()]
    with calling(target, token_file) as call:
        stub = vms_pb2_grpc.VmServiceStub(call.channel)
        found = pages(call, stub.ListVms, vms_pb2.ListVmsRequest(states=wanted), "vms", limit)
    columns = {
        "VM": lambda v: v.name,
        "STATE": lambda v: enum_word(v, "state"),
        "PROVIDER": lambda v: v.provider,
        "REGION": lambda v: v.region,
        "TEMPLATE": lambda v: v.template,
        "SESSIONS": lambda v: str(v.active_sessions),
        "UNITS": lambda v: f"{v.used_units}/{v.capacity_units}",
        "ADDRESS": lambda v: v.advertised_address,
    }
    show_list("vms", found, output, columns)


def _state(host: Any) -> str:
    from controlplane.commands.calls import enum_word

    return enum_word(host, "state") + (" (revoked)" if host.revoked else "")


def _plan(host: Any) -> str:
    behind = "" if host.observed_plan_version == host.plan_version else f" (has {host.observed_plan_version})"
    return f"{host.plan_version}{behind}"
