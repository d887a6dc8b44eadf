import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import shapes_pb2 as _shapes_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ParameterType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARAMETER_TYPE_UNSPECIFIED: _ClassVar[ParameterType]
    PARAMETER_TYPE_STRING: _ClassVar[ParameterType]
    PARAMETER_TYPE_INTEGER: _ClassVar[ParameterType]
    PARAMETER_TYPE_NUMBER: _ClassVar[ParameterType]
    PARAMETER_TYPE_BOOL: _ClassVar[ParameterType]
    PARAMETER_TYPE_CHOICE: _ClassVar[ParameterType]
    PARAMETER_TYPE_SECRET: _ClassVar[ParameterType]
    PARAMETER_TYPE_PORT: _ClassVar[ParameterType]

class FileFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_FORMAT_UNSPECIFIED: _ClassVar[FileFormat]
    FILE_FORMAT_PROPERTIES: _ClassVar[FileFormat]
    FILE_FORMAT_INI: _ClassVar[FileFormat]
    FILE_FORMAT_JSON: _ClassVar[FileFormat]
    FILE_FORMAT_YAML: _ClassVar[FileFormat]
    FILE_FORMAT_XML: _ClassVar[FileFormat]
    FILE_FORMAT_TEMPLATE: _ClassVar[FileFormat]

class Picture(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PICTURE_UNSPECIFIED: _ClassVar[Picture]
    PICTURE_NONE: _ClassVar[Picture]
    PICTURE_FRAMES: _ClassVar[Picture]
    PICTURE_X11: _ClassVar[Picture]

class PullPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PULL_POLICY_UNSPECIFIED: _ClassVar[PullPolicy]
    PULL_POLICY_IF_NOT_PRESENT: _ClassVar[PullPolicy]
    PULL_POLICY_ALWAYS: _ClassVar[PullPolicy]
    PULL_POLICY_NEVER: _ClassVar[PullPolicy]
PARAMETER_TYPE_UNSPECIFIED: ParameterType
PARAMETER_TYPE_STRING: ParameterType
PARAMETER_TYPE_INTEGER: ParameterType
PARAMETER_TYPE_NUMBER: ParameterType
PARAMETER_TYPE_BOOL: ParameterType
PARAMETER_TYPE_CHOICE: ParameterType
PARAMETER_TYPE_SECRET: ParameterType
PARAMETER_TYPE_PORT: ParameterType
FILE_FORMAT_UNSPECIFIED: FileFormat
FILE_FORMAT_PROPERTIES: FileFormat
FILE_FORMAT_INI: FileFormat
FILE_FORMAT_JSON: FileFormat
FILE_FORMAT_YAML: FileFormat
FILE_FORMAT_XML: FileFormat
FILE_FORMAT_TEMPLATE: FileFormat
PICTURE_UNSPECIFIED: Picture
PICTURE_NONE: Picture
PICTURE_FRAMES: Picture
PICTURE_X11: Picture
PULL_POLICY_UNSPECIFIED: PullPolicy
PULL_POLICY_IF_NOT_PRESENT: PullPolicy
PULL_POLICY_ALWAYS: PullPolicy
PULL_POLICY_NEVER: PullPolicy

class Game(_message.Message):
    __slots__ = ("name", "display_name", "summary", "default_preset", "current_deployment", "create_time", "law", "log_retention", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_PRESET_FIELD_NUMBER: _ClassVar[int]
    CURRENT_DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAW_FIELD_NUMBER: _ClassVar[int]
    LOG_RETENTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    summary: str
    default_preset: str
    current_deployment: str
    create_time: _timestamp_pb2.Timestamp
    law: _shapes_pb2.Law
    log_retention: _duration_pb2.Duration
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., summary: _Optional[str] = ..., default_preset: _Optional[str] = ..., current_deployment: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., law: _Optional[_Union[_shapes_pb2.Law, _Mapping]] = ..., log_retention: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("parameter_name", "type", "description", "default_value", "choices", "minimum", "maximum", "fixed")
    PARAMETER_NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    FIXED_FIELD_NUMBER: _ClassVar[int]
    parameter_name: str
    type: ParameterType
    description: str
    default_value: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    minimum: float
    maximum: float
    fixed: bool
    def __init__(self, parameter_name: _Optional[str] = ..., type: _Optional[_Union[ParameterType, str]] = ..., description: _Optional[str] = ..., default_value: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., fixed: _Optional[bool] = ...) -> None: ...

class Volume(_message.Message):
    __slots__ = ("volume_name", "path")
    VOLUME_NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    volume_name: str
    path: str
    def __init__(self, volume_name: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class ConfigFile(_message.Message):
    __slots__ = ("volume", "path", "format", "content", "template")
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    volume: str
    path: str
    format: FileFormat
    content: _struct_pb2.Struct
    template: str
    def __init__(self, volume: _Optional[str] = ..., path: _Optional[str] = ..., format: _Optional[_Union[FileFormat, str]] = ..., content: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., template: _Optional[str] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("action_name", "display_name", "lines", "parameters")
    ACTION_NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    action_name: str
    display_name: str
    lines: _containers.RepeatedScalarFieldContainer[str]
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    def __init__(self, action_name: _Optional[str] = ..., display_name: _Optional[str] = ..., lines: _Optional[_Iterable[str]] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ...) -> None: ...

class Configuration(_message.Message):
    __slots__ = ("command", "environment", "files", "parameters")
    class File(_message.Message):
        __slots__ = ("path", "text")
        PATH_FIELD_NUMBER: _ClassVar[int]
        TEXT_FIELD_NUMBER: _ClassVar[int]
        path: str
        text: str
        def __init__(self, path: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    command: _containers.RepeatedScalarFieldContainer[str]
    environment: _containers.ScalarMap[str, str]
    files: _containers.RepeatedCompositeFieldContainer[Configuration.File]
    parameters: _containers.ScalarMap[str, str]
    def __init__(self, command: _Optional[_Iterable[str]] = ..., environment: _Optional[_Mapping[str, str]] = ..., files: _Optional[_Iterable[_Union[Configuration.File, _Mapping]]] = ..., parameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PreviewDeploymentRequest(_message.Message):
    __slots__ = ("name", "parameters", "file_patches")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FilePatchesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Struct
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    FILE_PATCHES_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameters: _containers.ScalarMap[str, str]
    file_patches: _containers.MessageMap[str, _struct_pb2.Struct]
    def __init__(self, name: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ..., file_patches: _Optional[_Mapping[str, _struct_pb2.Struct]] = ...) -> None: ...

class PortSpec(_message.Message):
    __slots__ = ("port_name", "protocol", "game_port", "host_port")
    PORT_NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    GAME_PORT_FIELD_NUMBER: _ClassVar[int]
    HOST_PORT_FIELD_NUMBER: _ClassVar[int]
    port_name: str
    protocol: str
    game_port: int
    host_port: int
    def __init__(self, port_name: _Optional[str] = ..., protocol: _Optional[str] = ..., game_port: _Optional[int] = ..., host_port: _Optional[int] = ...) -> None: ...

class HttpCheck(_message.Message):
    __slots__ = ("port_name", "path", "expected_status")
    PORT_NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_STATUS_FIELD_NUMBER: _ClassVar[int]
    port_name: str
    path: str
    expected_status: int
    def __init__(self, port_name: _Optional[str] = ..., path: _Optional[str] = ..., expected_status: _Optional[int] = ...) -> None: ...

class Readiness(_message.Message):
    __slots__ = ("log_pattern", "tcp_port", "stays_up", "http", "timeout")
    LOG_PATTERN_FIELD_NUMBER: _ClassVar[int]
    TCP_PORT_FIELD_NUMBER: _ClassVar[int]
    STAYS_UP_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    log_pattern: str
    tcp_port: str
    stays_up: _duration_pb2.Duration
    http: HttpCheck
    timeout: _duration_pb2.Duration
    def __init__(self, log_pattern: _Optional[str] = ..., tcp_port: _Optional[str] = ..., stays_up: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., http: _Optional[_Union[HttpCheck, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ContainerVolume(_message.Message):
    __slots__ = ("volume_name", "path")
    VOLUME_NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    volume_name: str
    path: str
    def __init__(self, volume_name: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class Container(_message.Message):
    __slots__ = ("image", "pull", "memory_bytes", "cpu_millis", "pids", "volumes", "writable_root", "run_as_user", "gpu", "render")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    PULL_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLIS_FIELD_NUMBER: _ClassVar[int]
    PIDS_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_ROOT_FIELD_NUMBER: _ClassVar[int]
    RUN_AS_USER_FIELD_NUMBER: _ClassVar[int]
    GPU_FIELD_NUMBER: _ClassVar[int]
    RENDER_FIELD_NUMBER: _ClassVar[int]
    image: str
    pull: PullPolicy
    memory_bytes: int
    cpu_millis: int
    pids: int
    volumes: _containers.RepeatedCompositeFieldContainer[ContainerVolume]
    writable_root: bool
    run_as_user: str
    gpu: bool
    render: bool
    def __init__(self, image: _Optional[str] = ..., pull: _Optional[_Union[PullPolicy, str]] = ..., memory_bytes: _Optional[int] = ..., cpu_millis: _Optional[int] = ..., pids: _Optional[int] = ..., volumes: _Optional[_Iterable[_Union[ContainerVolume, _Mapping]]] = ..., writable_root: _Optional[bool] = ..., run_as_user: _Optional[str] = ..., gpu: _Optional[bool] = ..., render: _Optional[bool] = ...) -> None: ...

class SaveSpec(_message.Message):
    __slots__ = ("volumes", "interval", "keep_versions", "max_bytes", "before_lines", "settled_text", "settled_within", "after_lines")
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    KEEP_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    BEFORE_LINES_FIELD_NUMBER: _ClassVar[int]
    SETTLED_TEXT_FIELD_NUMBER: _ClassVar[int]
    SETTLED_WITHIN_FIELD_NUMBER: _ClassVar[int]
    AFTER_LINES_FIELD_NUMBER: _ClassVar[int]
    volumes: _containers.RepeatedScalarFieldContainer[str]
    interval: _duration_pb2.Duration
    keep_versions: int
    max_bytes: int
    before_lines: _containers.RepeatedScalarFieldContainer[str]
    settled_text: str
    settled_within: _duration_pb2.Duration
    after_lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, volumes: _Optional[_Iterable[str]] = ..., interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., keep_versions: _Optional[int] = ..., max_bytes: _Optional[int] = ..., before_lines: _Optional[_Iterable[str]] = ..., settled_text: _Optional[str] = ..., settled_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., after_lines: _Optional[_Iterable[str]] = ...) -> None: ...

class Deployment(_message.Message):
    __slots__ = ("name", "command", "environment", "picture", "ports", "readiness", "stop_grace", "create_time", "container", "replaceable", "parameters", "volumes", "files", "actions", "stop_command", "stop_command_grace", "saves", "silent", "disk_bytes")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    READINESS_FIELD_NUMBER: _ClassVar[int]
    STOP_GRACE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    REPLACEABLE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    STOP_COMMAND_FIELD_NUMBER: _ClassVar[int]
    STOP_COMMAND_GRACE_FIELD_NUMBER: _ClassVar[int]
    SAVES_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    command: _containers.RepeatedScalarFieldContainer[str]
    environment: _containers.ScalarMap[str, str]
    picture: Picture
    ports: _containers.RepeatedCompositeFieldContainer[PortSpec]
    readiness: Readiness
    stop_grace: _duration_pb2.Duration
    create_time: _timestamp_pb2.Timestamp
    container: Container
    replaceable: bool
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    volumes: _containers.RepeatedCompositeFieldContainer[Volume]
    files: _containers.RepeatedCompositeFieldContainer[ConfigFile]
    actions: _containers.RepeatedCompositeFieldContainer[Action]
    stop_command: str
    stop_command_grace: _duration_pb2.Duration
    saves: SaveSpec
    silent: bool
    disk_bytes: int
    def __init__(self, name: _Optional[str] = ..., command: _Optional[_Iterable[str]] = ..., environment: _Optional[_Mapping[str, str]] = ..., picture: _Optional[_Union[Picture, str]] = ..., ports: _Optional[_Iterable[_Union[PortSpec, _Mapping]]] = ..., readiness: _Optional[_Union[Readiness, _Mapping]] = ..., stop_grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., container: _Optional[_Union[Container, _Mapping]] = ..., replaceable: _Optional[bool] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., volumes: _Optional[_Iterable[_Union[Volume, _Mapping]]] = ..., files: _Optional[_Iterable[_Union[ConfigFile, _Mapping]]] = ..., actions: _Optional[_Iterable[_Union[Action, _Mapping]]] = ..., stop_command: _Optional[str] = ..., stop_command_grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., saves: _Optional[_Union[SaveSpec, _Mapping]] = ..., silent: _Optional[bool] = ..., disk_bytes: _Optional[int] = ...) -> None: ...

class ListGamesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListGamesResponse(_message.Message):
    __slots__ = ("games", "next_page_token")
    GAMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    games: _containers.RepeatedCompositeFieldContainer[Game]
    next_page_token: str
    def __init__(self, games: _Optional[_Iterable[_Union[Game, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetGameRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CreateGameRequest(_message.Message):
    __slots__ = ("game_id", "game", "client_token")
    GAME_ID_FIELD_NUMBER: _ClassVar[int]
    GAME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    game_id: str
    game: Game
    client_token: str
    def __init__(self, game_id: _Optional[str] = ..., game: _Optional[_Union[Game, _Mapping]] = ..., client_token: _Optional[str] = ...) -> None: ...

class UpdateGameRequest(_message.Message):
    __slots__ = ("game", "update_mask")
    GAME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    game: Game
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, game: _Optional[_Union[Game, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class CreateDeploymentRequest(_message.Message):
    __slots__ = ("parent", "deployment", "client_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    deployment: Deployment
    client_token: str
    def __init__(self, parent: _Optional[str] = ..., deployment: _Optional[_Union[Deployment, _Mapping]] = ..., client_token: _Optional[str] = ...) -> None: ...

class GetDeploymentRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
