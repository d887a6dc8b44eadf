"""A deployment's container on the wire, both ways."""

from __future__ import annotations

from quarterdeck.v1 import games_pb2 as pb

from controlplane.api.mapping.values import enum_value
from controlplane.domain.container import Container, ContainerVolume, PullPolicy


def container_message(container: Container | None) -> pb.Container | None:
    if container is None:
        return None
    return pb.Container(
        image=container.image,
        pull=enum_value(pb.PullPolicy, "PULL_POLICY", container.pull),
        memory_bytes=container.memory_bytes,
        cpu_millis=container.cpu_millis,
        pids=container.pids,
        volumes=[pb.ContainerVolume(volume_name=volume.name, path=volume.path) for volume in container.volumes],
        writable_root=container.writable_root,
        run_as_user=container.run_as_user,
        gpu=container.gpu,
        render=container.render,
    )


def container_of(wire: pb.Container) -> Container:
    policy = pb.PullPolicy.Name(wire.pull).removeprefix("PULL_POLICY_")
    return Container(
        image=wire.image,
        pull=PullPolicy(policy) if wire.pull else PullPolicy.IF_NOT_PRESENT,
        memory_bytes=wire.memory_bytes,
        cpu_millis=wire.cpu_millis,
        pids=wire.pids,
        volumes=tuple(ContainerVolume(volume.volume_name, volume.path) for volume in wire.volumes),
        writable_root=wire.writable_root,
        run_as_user=wire.run_as_user,
        gpu=wire.gpu,
        render=wire.render,
    )
