"""A registry of one image on 127.0.0.1, as far as a pull goes: sound, with a damaged layer, or without an answer."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    """`damaged`: the layer is not what its digest says. `silent`: connections are taken, and nothing is said."""

    def __init__(self, damaged: bool = False, silent: bool = False) -> None:
        self.silent = silent
        self.leave = threading.Event()
        layer, plain = _layer()
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/hello"]},
             "rootfs": {"type": "layers", "diff_ids": [_digest(plain)]}}
        ).encode()  # fmt: skip
        layers = [{"mediaType": LAYER, "size": len(layer), "digest": _digest(layer)}]
        described = {"mediaType": CONFIG, "size": len(config), "digest": _digest(config)}
        self.manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}
        ).encode()
        served = layer[:-20] + bytes(byte ^ 0xFF for byte in layer[-20:]) if damaged else layer
        self.blobs = {_digest(config): config, _digest(layer): served}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _layer() -> tuple[bytes, bytes]:
    plain, content = io.BytesIO(), os.urandom(64)  # an engine keeps each layer that it has seen
    with tarfile.open(fileobj=plain, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue()), plain.getvalue()


@contextmanager
def serving(registry: Registry) -> Iterator[str]:
    """The name of its image."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if registry.silent:
                registry.leave.wait()
                return
            kind, content = "application/json", b"{}"
            if "/manifests/" in self.path:
                kind, content = MANIFEST, registry.manifest
            elif "/blobs/" in self.path:
                kind, content = "application/octet-stream", registry.blobs[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", _digest(content))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}/quarterdeck-test/hello:1"
    finally:
        registry.leave.set()
        server.shutdown()
        server.server_close()
