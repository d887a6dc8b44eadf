"""The comments of .proto files, where descriptors still carry them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf import descriptor_pb2

# Field numbers of descriptor.proto, of which a source location's path is made.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _MESSAGE_MESSAGE, _MESSAGE_ENUM = 2, 3, 4
_SERVICE_METHOD = 2


class Comments:
    """Looks a comment up by the full name of what it stands before."""

    def __init__(self, files: Iterable[descriptor_pb2.FileDescriptorProto]) -> None:
        self._texts: dict[str, str] = {}
        for file in files:
            texts = {tuple(at.path): _plain(at.leading_comments) for at in file.source_code_info.location}
            for path, name in _names(file):
                if texts.get(path):
                    self._texts[name] = texts[path]

    def of(self, full_name: str) -> str:
        """Empty where there is none."""
        return self._texts.get(full_name, "")


def _plain(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _names(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    prefix = f"{file.package}." if file.package else ""
    for index, message in enumerate(file.message_type):
        yield from _message_names(message, (_FILE_MESSAGE, index), prefix)
    for index, enum in enumerate(file.enum_type):
        yield (_FILE_ENUM, index), prefix + enum.name
    for index, service in enumerate(file.service):
        yield (_FILE_SERVICE, index), prefix + service.name
        for number, method in enumerate(service.method):
            yield (_FILE_SERVICE, index, _SERVICE_METHOD, number), f"{prefix}{service.name}.{method.name}"


def _message_names(
    message: descriptor_pb2.DescriptorProto, path: tuple[int, ...], prefix: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = prefix + message.name
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, _MESSAGE_FIELD, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _message_names(nested, (*path, _MESSAGE_MESSAGE, index), f"{name}.")
    for index, enum in enumerate(message.enum_type):
        yield (*path, _MESSAGE_ENUM, index), f"{name}.{enum.name}"
