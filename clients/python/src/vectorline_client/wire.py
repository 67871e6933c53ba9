"""Messages and methods as they travel, made of the descriptors that were built from the protos.

They live in a pool of their own, so that a process may hold other versions of the same protos beside this client.
"""

import dataclasses
import datetime
import difflib
import enum
import importlib.resources
import keyword
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import vectorline_messages
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message, message_factory
from vectorline_messages import messages

PACKAGE: Final = "vectorline.v1"
SERVICES: Final = ("IngestService", "EmbedderService", "IndexerService")
# A task may have thousands of columns, and a search 1,000 matches with 40 KB of metadata each.
LARGEST_ANSWER_BYTES: Final = 64 * 2**20

Answer = TypeVar("Answer")


def _pool() -> descriptor_pool.DescriptorPool:
    data = importlib.resources.files(vectorline_messages).joinpath("descriptors.binpb").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL: Final = _pool()


def kind(name: str) -> type[message.Message]:
    """The class of a message by its full name.

    Raises:
        KeyError: There is none.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


@dataclasses.dataclass(frozen=True)
class Method:
    """A public method.

    Attributes:
        service: ingest, embedder or indexer.
        path: As HTTP/2 has it, /vectorline.v1.Service/Method.
        request: The class of its request.
        answer: The class of its answer.
        streams: It has many answers.
    """

    service: str
    path: str
    request: type[message.Message]
    answer: type[message.Message]
    streams: bool

    @property
    def name(self) -> str:
        """Its name without its service."""
        return self.path.rpartition("/")[2]


def _methods() -> dict[str, Method]:
    found = {}
    for service in (POOL.FindServiceByName(f"{PACKAGE}.{name}") for name in SERVICES):
        for each in service.methods:
            found[each.name] = Method(
                service.name.removesuffix("Service").lower(),
                f"/{service.full_name}/{each.name}",
                message_factory.GetMessageClass(each.input_type),
                message_factory.GetMessageClass(each.output_type),
                bool(each.server_streaming),
            )
    return found


METHODS: Final = _methods()


def method(name: str) -> Method:
    """A method by its name, which no two services share.

    Raises:
        TypeError: This version of the client knows none of that name.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise TypeError(f"This client knows no method {name!r}{_instead(name, METHODS)}.") from None


def request(of: Method, fields: Mapping[str, Any]) -> message.Message:
    """A request; fields that are None are left out.

    Raises:
        TypeError: The method takes no such field, or no such value in it.
    """
    made = of.request()
    fill(made, fields)
    return made


def fill(made: message.Message, fields: Mapping[str, Any]) -> None:
    """Set fields of a message; see `request`."""
    known = made.DESCRIPTOR.fields_by_name
    for name, value in fields.items():
        if name not in known:
            raise TypeError(f"There is no option {name!r}{_instead(name, known)}.")
        if value is None:
            continue
        try:
            _set(made, name, value, known[name])
        except (TypeError, ValueError, json_format.ParseError) as error:
            raise TypeError(f"The option {name!r} takes no {type(value).__name__} like that: {error}") from error


def _set(made: message.Message, name: str, value: Any, field: Any) -> None:
    inner = field.message_type.full_name if field.message_type is not None else ""
    if inner == "google.protobuf.Timestamp":
        getattr(made, name).FromDatetime(value)
    elif inner == "google.protobuf.Struct":
        json_format.ParseDict(dict(value), getattr(made, name))
    elif _is_repeated(field):
        if isinstance(value, str):
            raise TypeError("a list is needed")
        getattr(made, name).extend(value)
    else:
        setattr(made, name, value)


def read(answer: type[Answer], raw: message.Message) -> Answer:
    """An answer as the dataclass of its name."""
    values = {_attribute(field.name): _value(raw, field) for field in raw.DESCRIPTOR.fields}
    return answer(**{name: value for name, value in values.items() if value is not None})


def answered(raw: message.Message) -> Any:
    """The same, by the message's own name."""
    return read(getattr(messages, raw.DESCRIPTOR.name), raw)


def _value(raw: message.Message, field: Any) -> Any:
    """A field's value; None: it is not set, so that the default holds."""
    value = getattr(raw, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {key: _one(each, inner) for key, each in value.items()}
    if _is_repeated(field):
        return tuple(_one(each, field) for each in value)
    if field.has_presence and not raw.HasField(field.name):
        return None
    return _one(value, field)


def _one(value: Any, field: Any) -> Any:
    if field.enum_type is not None:
        known: type[enum.IntEnum] = getattr(messages, field.enum_type.name)
        return known(value) if value in known._value2member_map_ else value  # a newer line may know more
    if field.message_type is None:
        return value
    name = field.message_type.full_name
    if name == "google.protobuf.Timestamp":
        return value.ToDatetime(datetime.UTC)
    if name == "google.protobuf.Struct":
        return json_format.MessageToDict(value)
    return answered(value)


def as_dict(answer: Any) -> Any:
    """An answer as REST prints it: proto names, zeros and false, times in RFC 3339; what is not set is left out."""
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        values = {field.name.rstrip("_"): getattr(answer, field.name) for field in dataclasses.fields(answer)}
        return {name: as_dict(value) for name, value in values.items() if value is not None}
    if isinstance(answer, enum.IntEnum):
        return answer.name
    if isinstance(answer, datetime.datetime):
        return answer.isoformat(timespec="microseconds" if answer.microsecond else "seconds").replace("+00:00", "Z")
    if isinstance(answer, Mapping):
        return {key: as_dict(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [as_dict(each) for each in answer]
    return answer


def _is_repeated(field: Any) -> bool:
    """`is_repeated` came with protobuf 6.31, and `label` goes."""
    known = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if known is None else known)


def _attribute(name: str) -> str:
    """What the field is called in Python."""
    return f"{name}_" if keyword.iskeyword(name) else name


def _instead(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; is {near[0]!r} meant?" if near else ""
