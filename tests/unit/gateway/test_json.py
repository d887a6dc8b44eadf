"""The strict decoder and the encoder against protobuf's own: what both read and write is equal."""

import contextlib
import json
import math

import pytest
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from controlplane.gateway.decode import MAX_DEPTH, decode, load_json
from controlplane.gateway.encode import message_encoder
from controlplane.gateway.errors import StatusError
from tests.protos.compiled import pool

Everything = GetMessageClass(pool().FindMessageTypeByName("gatewaytest.v1.Everything"))


def one_nan(number: float) -> float:
    """JSON knows one NaN: its sign and payload cannot come back."""
    return math.nan if math.isnan(number) else number


text = st.text(st.characters(codec="utf-8"), max_size=8)
int32, int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
nested = st.recursive(
    st.fixed_dictionaries({}, optional={"text": text, "numbers": st.lists(int32, max_size=3)}),
    lambda inner: st.fixed_dictionaries({"deeper": inner}, optional={"text": text}),
    max_leaves=3,
)
seconds = st.integers(-62135596800, 253402300799)
everything = st.fixed_dictionaries(
    {},
    optional={
        "string": text,
        "bytes": st.binary(max_size=8),
        "bool": st.booleans(),
        "int32": int32,
        "int64": int64,
        "uint64": st.integers(0, 2**64 - 1),
        "float": st.floats(width=32).map(one_nan),
        "double": st.floats().map(one_nan),
        "color": st.integers(0, 5),
        "nested": nested,
        "strings": st.lists(text, max_size=3),
        "colors": st.lists(st.integers(0, 2), max_size=3),
        "nesteds": st.lists(nested, max_size=2),
        "counts": st.dictionaries(text, int64, max_size=3),
        "by_number": st.dictionaries(int32, nested, max_size=2),
        "timestamp": st.builds(lambda s: {"seconds": s}, seconds),
        "duration": st.builds(lambda s: {"seconds": s}, st.integers(-315576000000, 315576000000)),
        "int64_value": st.builds(lambda v: {"value": v}, int64),
        "string_value": st.builds(lambda v: {"value": v}, text),
        "maybe": int32,
        "left": text,
        "renamed": text,
    },
)


def refusal_of(work) -> StatusError | None:
    try:
        work()
    except StatusError as error:
        return error
    return None


@given(everything, st.booleans(), st.booleans())
def test_what_protobuf_writes_is_read_back(values, proto_names, defaults):
    message = Everything(**values)
    written = json_format.MessageToJson(
        message, preserving_proto_field_name=proto_names, always_print_fields_with_no_presence=defaults
    )
    read = Everything()
    decode(read, load_json(written.encode()))
    assert read.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


encode = message_encoder(Everything.DESCRIPTOR)


@given(everything, st.binary(max_size=60))
def test_what_is_written_is_what_protobuf_writes(values, raw):
    message = Everything(**values)
    with contextlib.suppress(DecodeError):
        message.MergeFromString(raw)
    theirs = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    assert json.loads(json.dumps(encode(message))) == json.loads(json.dumps(theirs))


def test_well_known_types_are_written_too():
    sent = {
        "struct": {"a": [1.5, None, {"b": "c"}]}, "value": [True], "listValue": [1.0], "boolValue": False,
        "bytesValue": "AQ==", "doubleValue": "Infinity", "mask": "a.b,c", "right": {}, "nullValue": None,
        "any": {"@type": "type.googleapis.com/gatewaytest.v1.Tick", "number": 3}, "durations": ["1.500s"],
    }  # fmt: skip
    message = Everything()
    decode(message, sent)
    shown = encode(message)
    assert {key: shown[key] for key in sent} == {**sent, "right": {"text": "", "numbers": []}}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([field.json_name for field in Everything.DESCRIPTOR.fields]) | text, inner)
    ),
    max_leaves=6,
)
FIELDS = [field.json_name for field in Everything.DESCRIPTOR.fields]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3))
def test_what_is_read_protobuf_reads_the_same_and_what_is_not_is_refused(value):
    read, theirs = Everything(), Everything()
    refusal = refusal_of(lambda: decode(read, value))
    if refusal is not None:
        assert (refusal.http_status, bool(refusal.status.message)) == (400, True)
        return
    json_format.ParseDict(value, theirs, descriptor_pool=pool())
    assert read.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


@given(st.binary(max_size=40))
def test_no_bytes_break_the_reader(body):
    refusal = refusal_of(lambda: load_json(body))
    if refusal is None:
        assert json.dumps(load_json(body)) == json.dumps(json.loads(body))
    else:
        assert refusal.http_status == 400


def test_depth_is_bounded_by_the_message_and_not_by_python():
    value: object = {}
    for _ in range(MAX_DEPTH - 2):
        value = {"deeper": value}
    decode(Everything(), {"nested": value})
    with pytest.raises(StatusError, match="nested deeper than"):
        decode(Everything(), {"nested": {"deeper": {"deeper": {"deeper": value}}}})
