"""`quarterdeck templates|presets|regions …`: what machines, pictures and places there are. All three alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from controlplane.commands.documents import File, fill
from controlplane.commands.options import Output, OutputOption, Target, TokenFile

Name = Annotated[str, typer.Argument(metavar="ID", help="Its id; KIND/ID will do, too.")]
Columns = Mapping[str, Callable[[Any], str]]


def _of(kind: str, about: str, columns: Columns, example: str) -> typer.Typer:
    """The verbs of one kind: `kind` as in GetKind, ListKinds, kind_id and kinds/ID. `example` is a file's text."""
    word = kind.lower()
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=f"{about}: list, get, create, update, delete.")

    def request(verb: str, **fields: Any) -> Any:
        from quarterdeck.v1 import shapes_pb2

        return getattr(shapes_pb2, f"{verb}Request")(**fields)

    def call(verb: str, message: Any, target: Any, token_file: Any) -> Any:
        from quarterdeck.v1 import shapes_pb2_grpc

        from controlplane.commands.calls import calling

        with calling(target, token_file) as caller:
            return caller(getattr(shapes_pb2_grpc.ShapeServiceStub(caller.channel), verb), message)

    def list_(target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE) -> None:
        from controlplane.commands.calls import show_list

        answer = call(f"List{kind}s", request(f"List{kind}s"), target, token_file)
        name: dict[str, Callable[[Any], str]] = {kind.upper(): lambda one: one.name.partition("/")[2]}
        show_list(f"{word}s", list(getattr(answer, f"{word}s")), output, name | dict(columns))

    def get(
        name: Name, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
    ) -> None:
        _show(call(f"Get{kind}", request(f"Get{kind}", name=_full(word, name)), target, token_file), output)

    def create(
        name: Name, file: File, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
    ) -> None:
        message = request(f"Create{kind}", **{f"{word}_id": name.removeprefix(f"{word}s/")})
        getattr(message, word).SetInParent()
        fill(getattr(message, word), file)
        _show(call(f"Create{kind}", message, target, token_file), output)

    def update(
        name: Name, file: File, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
    ) -> None:
        message = request(f"Update{kind}")
        fill(getattr(message, word), file)
        getattr(message, word).name = _full(word, name)
        _show(call(f"Update{kind}", message, target, token_file), output)

    def delete(name: Name, target: Target = None, token_file: TokenFile = None) -> None:
        call(f"Delete{kind}", request(f"Delete{kind}", name=_full(word, name)), target, token_file)

    app.command("list", help=f"List the {word}s.")(list_)
    app.command("get", help=f"Show one {word}.")(get)
    fields = f"Its fields are those of {kind} in the gateway's /openapi.json; `{word}s get ID -o json` shows some."
    adding = f"\b\nprintf '{example}' | quarterdeck {word}s create my-{word} -"
    changing = f"\b\nprintf 'displayName: Mine\\n' | quarterdeck {word}s update my-{word} -"
    app.command("create", help=f"Add a {word}.\n\n{adding}\n\n{fields}")(create)
    app.command("update", help=f"Change what the file has; the rest stays.\n\n{changing}\n\n{fields}")(update)
    app.command("delete", help=f"Forget a {word} that nothing uses.")(delete)
    return app


def _full(word: str, name: str) -> str:
    from controlplane.commands.calls import resource

    return resource(f"{word}s", name)


def _show(found: Any, output: Output) -> None:
    import json

    from controlplane.commands.calls import as_json, show

    show(
        found,
        output,
        lambda one: (
            (label, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for label, value in as_json(one).items()
        ),
    )


templates = _of(
    "Template",
    "Templates, the shapes of machines",
    {
        "GPU": lambda t: t.gpu_model,
        "VCPUS": lambda t: str(t.vcpus),
        "RAM": lambda t: f"{t.ram_gb} GB",
        "VRAM": lambda t: f"{t.vram_gb} GB",
        "SESSIONS": lambda t: str(t.seats),
    },
    "vcpus: 8\\nramGb: 32\\nvramGb: 24\\nseats: 4\\ngpuModel: NVIDIA L4\\n",
)
presets = _of(
    "Preset",
    "Presets, the qualities of pictures",
    {
        "PICTURE": lambda p: f"{p.width}x{p.height} at {p.fps} fps" if p.width else "",
        "KBPS": lambda p: f"{p.min_bitrate_kbps} to {p.max_bitrate_kbps}",
        "SESSIONS PER VM": lambda p: str(p.sessions_per_vm or ""),
        "ENCODER": lambda p: p.encoder_preset,
    },
    "width: 1280\\nheight: 720\\nfps: 60\\nbitrateKbps: 6000\\n"
    "minBitrateKbps: 2000\\nmaxBitrateKbps: 9000\\nencoderPreset: p4\\n",
)
regions = _of(
    "Region",
    "Regions, where machines stand",
    {
        "NAME": lambda r: r.display_name,
        "TERRITORY": lambda r: r.territory,
        "NEXT": lambda r: " ".join(r.fallback_chain),
        "RENTED AT MOST": lambda r: str(r.max_rented_vms),
    },
    "displayName: Stockholm\\nterritory: SE\\n",
)


@regions.command("capacity")
def capacity(target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE) -> None:
    """How much room there is in each region, and how long one waits for it.

    \b
    quarterdeck regions capacity
    """
    from quarterdeck.v1 import shapes_pb2, shapes_pb2_grpc

    from controlplane.commands.calls import calling, show_list

    with calling(target, token_file) as call:
        stub = shapes_pb2_grpc.ShapeServiceStub(call.channel)
        found = list(call(stub.ListRegionCapacities, shapes_pb2.ListRegionCapacitiesRequest()).capacities)
    columns = {
        "REGION": lambda c: c.region.partition("/")[2],
        "FREE SLOTS": lambda c: str(c.free_slots),
        "SESSIONS": lambda c: str(c.active_sessions),
        "VMS": lambda c: f"{c.available_vms} +{c.provisioning_vms} -{c.draining_vms}",
        "WAITING": lambda c: str(c.waiting_sessions),
        "WAIT": lambda c: f"{c.expected_wait.seconds} s" if c.HasField("expected_wait") else "",
        "RENTED": lambda c: f"{c.rented_vms} of {c.max_rented_vms}" if c.rented_vms or c.max_rented_vms else "",
        "BLOCKED": lambda c: c.blocked,
    }
    show_list("capacities", found, output, columns)
