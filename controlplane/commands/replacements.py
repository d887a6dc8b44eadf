"""`quarterdeck vms replace|replacements`: new machines for old ones, without ending a session."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile


def register(vms: typer.Typer) -> None:
    """Adds the verbs to those of VMs."""
    vms.command("replace")(replace_vms)
    vms.command("replacements")(list_replacements)


def replace_vms(
    vm: Annotated[str, typer.Argument(metavar="[VM]", help="One VM; or all of --pool or --template.")] = "",
    pool: Annotated[str, typer.Option(help="All VMs of this pool.")] = "",
    template: Annotated[str, typer.Option(help="All VMs of this template.")] = "",
    cancel: Annotated[str, typer.Option(metavar="REPLACEMENT", help="Call off the rest of its series instead.")] = "",
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Replace rented VMs, one after another: a successor is rented, the old one drained and given back when empty.

    \b
    quarterdeck vms replace --pool evening
    quarterdeck vms replace --cancel r-4k2j9x-000
    """
    from quarterdeck.v1 import replacements_pb2, replacements_pb2_grpc

    from controlplane.commands.calls import calling, fail, resource

    scopes = [resource(kind, name) for kind, name in (("vms", vm), ("pools", pool), ("templates", template)) if name]
    if len(scopes) + bool(cancel) != 1:
        fail("name one VM, or --pool, or --template, or --cancel")
    with calling(target, token_file) as call:
        stub = replacements_pb2_grpc.ReplacementServiceStub(call.channel)
        if cancel:
            request = replacements_pb2.CancelReplacementsRequest(name=resource("replacements", cancel))
            found = call(stub.CancelReplacements, request)
        else:
            found = call(stub.ReplaceVms, replacements_pb2.ReplaceVmsRequest(scope=scopes[0]))
    _show(list(found.replacements), output)


def list_replacements(
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """How far replacements are, newest first.

    \b
    quarterdeck vms replacements --limit 10
    """
    from quarterdeck.v1 import replacements_pb2, replacements_pb2_grpc

    from controlplane.commands.calls import calling, pages

    with calling(target, token_file) as call:
        stub = replacements_pb2_grpc.ReplacementServiceStub(call.channel)
        request = replacements_pb2.ListReplacementsRequest()
        found = pages(call, stub.ListReplacements, request, "replacements", limit)
    _show(found, output)


def _show(found: list[Any], output: Output) -> None:
    from controlplane.commands.calls import enum_word, show_list

    columns = {
        "REPLACEMENT": lambda r: r.name,
        "VM": lambda r: r.vm,
        "SUCCESSOR": lambda r: r.successor,
        "STATE": lambda r: enum_word(r, "state"),
        "DETAIL": lambda r: r.detail,
    }
    show_list("replacements", found, output, columns)
