"""Compiles the test protos when a test needs them, into a pool of their own; no generated code is kept."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

from google.api import annotations_pb2, http_pb2, httpbody_pb2
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pool import DescriptorPool

FOLDER = Path(__file__).parent
LIBRARY = "gatewaytest.v1.Library"
_FOREIGN = (
    descriptor_pb2, any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2,
    http_pb2, annotations_pb2, httpbody_pb2,
)  # fmt: skip


@functools.cache
def descriptor_set(path: str = "gatewaytest/v1/library.proto") -> descriptor_pb2.FileDescriptorSet:
    """Every file that path needs and path itself, dependencies first, comments included."""
    with tempfile.TemporaryDirectory() as folder:
        foreign, out = Path(folder, "foreign.binpb"), Path(folder, "out.binpb")
        files = descriptor_pb2.FileDescriptorSet()
        for module in _FOREIGN:
            module.DESCRIPTOR.CopyToProto(files.file.add())
        foreign.write_bytes(files.SerializeToString())
        subprocess.run(
            [
                sys.executable, "-m", "grpc_tools.protoc", f"-I{FOLDER}", f"--descriptor_set_in={foreign}",
                "--include_imports", "--include_source_info", f"--descriptor_set_out={out}", path,
            ],
            check=True,
        )  # fmt: skip
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


@functools.cache
def pool() -> DescriptorPool:
    made = DescriptorPool()
    for file in descriptor_set().file:
        made.Add(file)
    return made
