"""`quarterdeck pools list|create|update|delete|limit|budget`: machines that come and go by themselves."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile

app = typer.Typer(no_args_is_help=True, help="Rented machines that come and go by themselves.")

PoolName = Annotated[str, typer.Argument(metavar="POOL", help="Its id, or pools/ID.")]
MinFree = Annotated[int | None, typer.Option("--min-free", min=0, help="Slots kept free.")]
Buffer = Annotated[int | None, typer.Option(min=0, help="Free slots beyond those before a machine goes.")]
MaxVms = Annotated[int | None, typer.Option("--max-vms", min=1, help="At most so many machines.")]
IdleAfter = Annotated[float | None, typer.Option("--idle-after", min=1, help="Seconds that a machine stays empty.")]
ToZero = Annotated[
    bool | None, typer.Option("--scale-to-zero/--keep", help="Let the minimum go too while nobody plays.")
]
MICRO = 10**6


@app.command("list")
def list_pools(target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE) -> None:
    """Pools, their machines, and why one has fewer free slots than it should.

    \b
    quarterdeck pools list
    """
    from quarterdeck.v1 import pools_pb2, pools_pb2_grpc

    from controlplane.commands.calls import calling, show_list

    with calling(target, token_file) as call:
        stub = pools_pb2_grpc.PoolServiceStub(call.channel)
        found = list(call(stub.ListPools, pools_pb2.ListPoolsRequest()).pools)
    columns = {
        "POOL": lambda p: p.name,
        "MACHINES": lambda p: f"{p.provider} {p.region} {p.template}",
        "VMS": lambda p: f"{p.available_vms} +{p.coming_vms} -{p.leaving_vms} of {p.max_vms}",
        "FREE": lambda p: f"{p.free_slots} of {p.min_free_slots}",
        "SESSIONS": lambda p: str(p.active_sessions),
        "BLOCKED": lambda p: p.blocked,
    }
    show_list("pools", found, output, columns)


@app.command("create")
def create_pool(
    pool_id: Annotated[str, typer.Argument(metavar="POOL", help="Its id.")],
    provider: Annotated[str, typer.Option(help="Who rents the machines.")] = "local",
    region: Annotated[str, typer.Option(help="Where.")] = "local",
    template: Annotated[str, typer.Option(help="Their shape.")] = "local",
    min_free: MinFree = None,
    buffer: Buffer = None,
    max_vms: MaxVms = 1,
    idle_after: IdleAfter = None,
    scale_to_zero: ToZero = None,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Keep slots free: machines are rented and given back by themselves, as far as region and budget allow.

    \b
    quarterdeck pools create evening --min-free 2 --max-vms 2
    """
    from quarterdeck.v1 import pools_pb2

    pool, _ = _figures(min_free, buffer, max_vms, idle_after, scale_to_zero)
    pool.provider, pool.region, pool.template = provider, region, template
    _call("CreatePool", pools_pb2.CreatePoolRequest(pool_id=pool_id, pool=pool), target, token_file, output)


@app.command("update")
def update_pool(
    name: PoolName,
    min_free: MinFree = None,
    buffer: Buffer = None,
    max_vms: MaxVms = None,
    idle_after: IdleAfter = None,
    scale_to_zero: ToZero = None,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Change a pool's figures.

    \b
    quarterdeck pools update evening --min-free 4 --max-vms 6
    """
    from google.protobuf.field_mask_pb2 import FieldMask
    from quarterdeck.v1 import pools_pb2

    from controlplane.commands.calls import resource

    pool, paths = _figures(min_free, buffer, max_vms, idle_after, scale_to_zero)
    pool.name = resource("pools", name)
    request = pools_pb2.UpdatePoolRequest(pool=pool, update_mask=FieldMask(paths=paths))
    _call("UpdatePool", request, target, token_file, output)


@app.command("delete")
def delete_pool(name: PoolName, target: Target = None, token_file: TokenFile = None) -> None:
    """Forget a pool; its machines go when they have been empty for a while. Ends no session.

    \b
    quarterdeck pools delete evening
    """
    from quarterdeck.v1 import pools_pb2, pools_pb2_grpc

    from controlplane.commands.calls import calling, resource

    with calling(target, token_file) as call:
        stub = pools_pb2_grpc.PoolServiceStub(call.channel)
        call(stub.DeletePool, pools_pb2.DeletePoolRequest(name=resource("pools", name)))


@app.command("limit")
def limit(
    region: Annotated[str, typer.Argument(metavar="REGION", help="Its id.")],
    most: Annotated[int, typer.Argument(metavar="VMS", min=0, help="Rented machines there at most; 0: none.")],
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let machines be rented in a region by themselves, for sessions that wait and for pools, up to so many.

    \b
    quarterdeck pools limit local 2
    """
    from google.protobuf.field_mask_pb2 import FieldMask
    from quarterdeck.v1 import shapes_pb2, shapes_pb2_grpc

    from controlplane.commands.calls import calling, resource, show

    change = shapes_pb2.Region(name=resource("regions", region), max_rented_vms=most)
    request = shapes_pb2.UpdateRegionRequest(region=change, update_mask=FieldMask(paths=["max_rented_vms"]))
    with calling(target, token_file) as call:
        found = call(shapes_pb2_grpc.ShapeServiceStub(call.channel).UpdateRegion, request)
    show(found, output, lambda r: (("Region", r.name), ("Rented machines", f"{r.max_rented_vms} at most")))


@app.command("budget")
def budget(
    amount: Annotated[float | None, typer.Option("--set", min=0, help="What they may cost an hour.")] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217, such as USD.")] = None,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """What machines that are rented by themselves may cost an hour, and what the rented ones do.

    \b
    quarterdeck pools budget --set 2.50
    """
    from google.protobuf.field_mask_pb2 import FieldMask
    from quarterdeck.v1 import pools_pb2, pools_pb2_grpc

    from controlplane.commands.calls import calling, show

    wanted, paths = pools_pb2.Budget(currency=currency or ""), ["currency"] if currency else []
    if amount is not None:
        wanted.micro_per_hour = round(amount * MICRO)
        paths.append("micro_per_hour")
    with calling(target, token_file) as call:
        stub = pools_pb2_grpc.PoolServiceStub(call.channel)
        if paths:
            request = pools_pb2.UpdateBudgetRequest(budget=wanted, update_mask=FieldMask(paths=paths))
            found = call(stub.UpdateBudget, request)
        else:
            found = call(stub.GetBudget, pools_pb2.GetBudgetRequest())
    show(
        found,
        output,
        lambda b: (
            ("Budget", f"{b.micro_per_hour / MICRO:g} {b.currency} an hour"),
            ("Spent", f"{b.spent_micro_per_hour / MICRO:g} {b.currency} an hour"),
            ("Machines", str(b.rented_vms)),
        ),
    )


def _figures(
    min_free: int | None, buffer: int | None, max_vms: int | None, idle_after: float | None, scale_to_zero: bool | None
) -> tuple[Any, list[str]]:
    """A pool with the figures that are given, and their names."""
    from google.protobuf.duration_pb2 import Duration
    from quarterdeck.v1 import pools_pb2

    idle = Duration()
    idle.FromNanoseconds(int((idle_after or 0) * 1e9))
    given: dict[str, Any] = {
        "min_free_slots": min_free,
        "buffer_slots": buffer,
        "max_vms": max_vms,
        "idle_after": None if idle_after is None else idle,
        "scale_to_zero": scale_to_zero,
    }
    said = {name: value for name, value in given.items() if value is not None}
    return pools_pb2.Pool(**said), list(said)


def _call(method: str, request: Any, target: Any, token_file: Any, output: Output) -> None:
    from quarterdeck.v1 import pools_pb2_grpc

    from controlplane.commands.calls import calling, show

    with calling(target, token_file) as call:
        pool = call(getattr(pools_pb2_grpc.PoolServiceStub(call.channel), method), request)
    show(
        pool,
        output,
        lambda p: (
            ("Pool", p.name),
            ("Machines", f"{p.provider} {p.region} {p.template}"),
            ("Free slots", f"{p.free_slots} of {p.min_free_slots}"),
            ("VMs", f"{p.available_vms} of {p.max_vms}"),
            ("Blocked", p.blocked),
        ),
    )
