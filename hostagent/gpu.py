"""The machine's NVIDIA GPUs, as NVML tells them. A machine without the driver has none; that is no error."""

from __future__ import annotations

from dataclasses import dataclass

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
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.info("no NVIDIA GPU", why=str(error))
        return []
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [
            Gpu(
                index,
                _text(pynvml.nvmlDeviceGetName(handle)),
                int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                driver,
            )
            for index, handle in enumerate(handles)
        ]
    except pynvml.NVMLError as error:
        log.warning("GPUs not listed", why=str(error))
        return []
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
