"""`quarterdeck vms create|invite|get|drain|undrain|stop|start|ready|error|terminate|…`: machines, rented or owned."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from controlplane.commands import fleet
from controlplane.commands.options import Output, OutputOption, Target, TokenFile

app = fleet.vms

VmName = Annotated[str, typer.Argument(metavar="VM", help="Its id, or vms/ID.")]


@app.command("create")
def create_vm(
    vm_id: Annotated[str, typer.Argument(metavar="[VM]", help="Its id. Without one it gets one.")] = "",
    provider: Annotated[str, typer.Option(help="Who rents it; static: a machine of your own.")] = "static",
    region: Annotated[str, typer.Option(help="Where.")] = "local",
    fallback: Annotated[list[str] | None, typer.Option(help="Another region to look in; may be repeated.")] = None,
    template: Annotated[str, typer.Option(help="Its shape; local: what its agent finds.")] = "local",
    ports: Annotated[
        str, typer.Option(metavar="FIRST-LAST", help="Ports its sessions may lease. [default: of the control plane]")
    ] = "",
    client_token: Annotated[str, typer.Option(help="The same token gives the same VM.")] = "",
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Register a machine of your own, or rent one.

    \b
    quarterdeck vms create --provider local
    quarterdeck vms create den-1 --region eu-west-1 --template RTX-4090 && quarterdeck vms invite den-1
    """
    from quarterdeck.v1 import hosts_pb2, vms_pb2

    first, _, last = ports.partition("-")
    if ports and not (first.isdecimal() and last.isdecimal()):
        raise typer.BadParameter("give FIRST-LAST, for example 28000-28999", param_hint="--ports")
    span = hosts_pb2.PortRange(first=int(first[:6]), last=int(last[:6])) if ports else None
    request = vms_pb2.CreateVmRequest(
        vm_id=vm_id,
        provider=provider,
        region=region,
        template=template,
        fallback_regions=fallback or (),
        port_range=span,
        client_token=client_token,
    )
    _call("CreateVm", request, target, token_file, output)


@app.command("invite")
def invite_agent(
    name: VmName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Print what the machine's agent needs to join, once: the lines of its /etc/quarterdeck/agent.env.

    \b
    quarterdeck vms invite den-1 | ssh den-1 'sudo tee -a /etc/quarterdeck/agent.env' >/dev/null
    """
    from quarterdeck.v1 import vms_pb2, vms_pb2_grpc

    from controlplane.commands.calls import as_json, calling

    with calling(target, token_file) as call:
        stub = vms_pb2_grpc.VmServiceStub(call.channel)
        invited = call(stub.CreateJoinToken, vms_pb2.CreateJoinTokenRequest(name=_vm(name)))
    if output is Output.JSON:
        typer.echo(json.dumps(as_json(invited), indent=2))
        return
    for variable in ("enrolment_target", "ca_sha256"):
        typer.echo(f"QUARTERDECK_AGENT_{variable.upper()}={getattr(invited, variable)}")
    typer.echo(f"QUARTERDECK_AGENT_JOIN_TOKEN={invited.token}")


def _plain(verb: str, method: str, about: str) -> None:
    """A verb that needs nothing but the VM's name."""

    def run(
        name: VmName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
    ) -> None:
        from quarterdeck.v1 import vms_pb2

        _call(method, getattr(vms_pb2, f"{method}Request")(name=_vm(name)), target, token_file, output)

    app.command(verb, help=f"{about}\n\n\b\nquarterdeck vms {verb} vm-7")(run)


_plain("get", "GetVm", "Show one VM; of a rented one, how far it is and when the next attempt begins.")
_plain("drain", "DrainVm", "Accept nothing new and let the rest finish.")
_plain("undrain", "UndrainVm", "Take sessions again.")
_plain("stop", "StopVm", "Switch an empty rented machine off, and keep it.")
_plain("start", "StartVm", "Switch a stopped machine on again.")
_plain("ready", "MarkVmReady", "Put a machine that was repaired back to work; its agent must be healthy.")


@app.command("error")
def fail_vm(
    name: VmName,
    reason: Annotated[str, typer.Option(help="Kept in its history.")] = "",
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take a machine out of service.

    \b
    quarterdeck vms error VM --reason "GPU_FAILURE: fell off the bus"
    """
    from quarterdeck.v1 import vms_pb2

    _call("FailVm", vms_pb2.FailVmRequest(name=_vm(name), reason=reason), target, token_file, output)


@app.command("terminate")
def terminate_vm(
    name: VmName,
    force: Annotated[bool, typer.Option("--force", help="End its sessions first.")] = False,
    reason: Annotated[str, typer.Option(help="Kept in its history.")] = "",
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give the machine back; a rented one is TERMINATED once its provider confirms that it is gone.

    \b
    quarterdeck vms terminate vm-7 --force --reason "the lease ends"
    """
    from quarterdeck.v1 import vms_pb2

    request = vms_pb2.TerminateVmRequest(name=_vm(name), force=force, reason=reason)
    _call("TerminateVm", request, target, token_file, output)


@app.command("transitions")
def list_transitions(
    name: VmName,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Every change of its state, newest first.

    \b
    quarterdeck vms transitions vm-7 --limit 10
    """
    from quarterdeck.v1 import vms_pb2, vms_pb2_grpc

    from controlplane.commands.calls import calling, clock, enum_word, pages, show_list

    with calling(target, token_file) as call:
        stub = vms_pb2_grpc.VmServiceStub(call.channel)
        request = vms_pb2.ListVmTransitionsRequest(parent=_vm(name))
        found = pages(call, stub.ListVmTransitions, request, "transitions", limit)
    columns = {
        "TIME": lambda t: clock(t, "time"),
        "FROM": lambda t: enum_word(t, "previous_state"),
        "TO": lambda t: enum_word(t, "state"),
        "TRIGGER": lambda t: t.trigger,
        "DETAIL": lambda t: t.detail,
    }
    show_list("transitions", found, output, columns)


@app.command("attempts")
def list_attempts(
    name: VmName,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Every attempt to rent, stop or start its machine, newest first, and what went wrong.

    \b
    quarterdeck vms attempts vm-7 --output json
    """
    from quarterdeck.v1 import vms_pb2, vms_pb2_grpc

    from controlplane.commands.calls import calling, clock, pages, show_list

    with calling(target, token_file) as call:
        stub = vms_pb2_grpc.VmServiceStub(call.channel)
        found = pages(call, stub.ListVmAttempts, vms_pb2.ListVmAttemptsRequest(parent=_vm(name)), "attempts", limit)
    columns = {
        "NUMBER": lambda a: str(a.number),
        "PURPOSE": lambda a: a.purpose,
        "OFFER": lambda a: "/".join(part for part in (a.provider, a.region, a.machine_type) if part),
        "STARTED": lambda a: clock(a, "start_time"),
        "ENDED": lambda a: clock(a, "end_time"),
        "OUTCOME": lambda a: a.outcome,
        "ERROR": lambda a: f"{a.failure_kind} {a.error_code}: {a.error_message}" if a.error_code else "",
        "NEXT ATTEMPT": lambda a: clock(a, "next_attempt_time"),
    }
    show_list("attempts", found, output, columns)


def _vm(name: str) -> str:
    from controlplane.commands.calls import resource

    return resource("vms", name)


def _call(method: str, request: Any, target: Any, token_file: Any, output: Output) -> None:
    from quarterdeck.v1 import vms_pb2_grpc

    from controlplane.commands.calls import calling, clock, enum_word, show

    with calling(target, token_file) as call:
        vm = call(getattr(vms_pb2_grpc.VmServiceStub(call.channel), method), request)
    show(
        vm,
        output,
        lambda v: (
            ("VM", v.name),
            ("State", enum_word(v, "state")),
            ("Provider", v.provider),
            ("Region", v.region),
            ("Reason", v.reason_detail),
            ("Machine", v.provisioning.instance),
            ("Phase", v.provisioning.phase),
            ("Error", f"{v.provisioning.error_code} {v.provisioning.error_message}".strip()),
            ("Next attempt", clock(v.provisioning, "next_attempt_time")),
        ),
    )
