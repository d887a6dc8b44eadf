"""NVML through a stand-in of its binding: what is made of its answers, and of its absence."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from hostagent.gpu import Gpu, list_gpus


class NVMLError(Exception):
    pass


def binding(gpus: int, broken: str = "") -> SimpleNamespace:
    def fail_if(name: str):
        def call(*_: object) -> object:
            if name == broken:
                raise NVMLError(name)
            return {
                "nvmlSystemGetDriverVersion": b"550.1",
                "nvmlDeviceGetCount": gpus,
                "nvmlDeviceGetHandleByIndex": "handle",
                "nvmlDeviceGetName": "NVIDIA L4",
                "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=24 << 30),
            }.get(name)

        return call

    names = [
        "nvmlInit", "nvmlShutdown", "nvmlSystemGetDriverVersion", "nvmlDeviceGetCount",
        "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo",
    ]  # fmt: skip
    return SimpleNamespace(NVMLError=NVMLError, **{name: fail_if(name) for name in names})


def test_each_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", binding(2))
    assert list_gpus() == [Gpu(0, "NVIDIA L4", 24 << 30, "550.1"), Gpu(1, "NVIDIA L4", 24 << 30, "550.1")]


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetMemoryInfo"])
def test_a_driver_that_is_missing_or_broken_means_no_gpus(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", binding(1, broken))
    assert list_gpus() == []
