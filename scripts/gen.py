"""Generates gen/ from proto/ and checks the protos with buf.

The imports from outside (google.api, buf.validate) come as descriptors out of the installed packages, so no
foreign .proto file is kept here and none is fetched.
"""

from __future__ import annotations

import argparse
import filecmp
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.api import annotations_pb2, field_behavior_pb2, http_pb2
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
from google.rpc import error_details_pb2, status_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GEN = ROOT / "gen"
FOREIGN = (
    descriptor_pb2, any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2,
    http_pb2, annotations_pb2, field_behavior_pb2, error_details_pb2, status_pb2,
)  # fmt: skip
RULES = (
    '{"version":"v2","lint":{"use":["STANDARD"],"except":["RPC_REQUEST_RESPONSE_UNIQUE","RPC_RESPONSE_STANDARD_NAME",'
    '"RPC_REQUEST_STANDARD_NAME"],"ignore":["google","buf"]},"breaking":{"use":["WIRE_JSON"]}}'
)


def foreign_descriptors(target: Path) -> None:
    """Writes the FileDescriptorSet of everything our protos import from elsewhere."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in FOREIGN:
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb.desc().proto.to_binary())
    target.write_bytes(files.SerializeToString())


def protoc(foreign: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={foreign}", f"-I{PROTO}", *arguments],
        check=True,
        env=os.environ
        | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # protoc finds its plugins there
    )


def generate(target: Path, work: Path) -> None:
    """Writes the Python code of every proto below PROTO, and of buf.validate, into target."""
    foreign = work / "foreign.binpb"
    foreign_descriptors(foreign)
    ours = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    protoc(foreign, f"--python_out={target}", f"--pyi_out={target}", *ours, "buf/validate/validate.proto")
    protoc(foreign, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *ours)
    for package in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        if package != target:
            (package / "__init__.py").touch()
    for idle in target.rglob("*_pb2_grpc.py"):  # a file of messages alone needs no stubs
        if "class " not in idle.read_text():
            idle.unlink()
            idle.with_suffix(".pyi").unlink(missing_ok=True)


def image(target: Path, work: Path, *options: str) -> None:
    """Writes the protos' image, as buf reads it."""
    foreign = work / "foreign.binpb"
    foreign_descriptors(foreign)
    ours = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    protoc(foreign, "--include_imports", f"--descriptor_set_out={target}", *options, *ours)


def differing(left: Path, right: Path) -> list[str]:
    names = {str(p.relative_to(base)) for base in (left, right) for p in base.rglob("*") if p.is_file()}
    names = {name for name in names if "__pycache__" not in name}
    return sorted(
        n for n in names
        if not ((left / n).exists() and (right / n).exists() and filecmp.cmp(left / n, right / n, shallow=False))
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="lint, and fail if gen/ is not what proto/ gives")
    parser.add_argument(
        "--against", metavar="IMAGE", help="with --check: fail on a change that breaks clients of IMAGE"
    )
    parser.add_argument("--image", metavar="FILE", help="only write the protos' image to FILE, for --against")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if options.image:
            image(work / "image.binpb", work)
            Path(options.image).write_bytes(gzip.compress((work / "image.binpb").read_bytes(), mtime=0))
            return 0
        fresh = work / "gen"
        fresh.mkdir()
        generate(fresh, work)
        if not options.check:
            shutil.rmtree(GEN, ignore_errors=True)
            shutil.copytree(fresh, GEN)
            return 0
        picture = work / "image.binpb"
        image(picture, work, "--include_source_info")
        buf = str(Path(sys.executable).parent / "buf")
        failed = subprocess.run([buf, "lint", str(picture), "--config", RULES], check=False).returncode
        if options.against:
            breaking = [buf, "breaking", str(picture), "--against", options.against, "--config", RULES]
            failed |= subprocess.run(breaking, check=False).returncode
        for name in differing(GEN, fresh):
            print(f"gen/{name} is not what proto/ gives: run `make gen` and commit the result")
            failed = 1
        return failed


if __name__ == "__main__":
    sys.exit(main())
