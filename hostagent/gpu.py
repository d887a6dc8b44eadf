"""The machine's NVIDIA GPUs, as NVML tells them. A machine without the driver has none; that is no error."""

from __future__ import annotations

from dataclasses import dataclass

import pynvml
import structlog

log = structlog.get_logger()


@dataclass(frozen=True)
class Gpu:
    """One GPU; `memory_bytes` is all of its memory."""

    index: int
    model: str
    memory_bytes: int
    driver_version: str


def list_gpus() -> list[Gpu]:
    """All GPUs that NVML shows, by index."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.info("no NVIDIA GPU", why=str(error))
        return []
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        return [_describe(index, driver) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        log.warning("GPUs not listed", why=str(error))
        return []
    finally:
        pynvml.nvmlShutdown()


def _describe(index: int, driver_version: str) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(index, _text(pynvml.nvmlDeviceGetName(handle)), int(memory.total), driver_version)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
