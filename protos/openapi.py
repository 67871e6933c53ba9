"""Describes the REST face in OpenAPI 3.1, from the descriptor set that Envoy transcodes by.

Paths and parameters follow ``google.api.http``, schemas follow the messages as Envoy prints them (proto names, zeros
printed, what is not set left out), descriptions are the protos' comments. What the protos cannot say stands in the
tables below. ``protos/build.py`` writes it to ``build/protos/openapi.json``.
"""

import re
from collections.abc import Iterator
from typing import Any

from google.api import annotations_pb2, field_behavior_pb2, http_pb2
from google.protobuf import descriptor_pb2, unknown_fields

Json = dict[str, Any]
Field = descriptor_pb2.FieldDescriptorProto
Method = descriptor_pb2.MethodDescriptorProto

PACKAGE = ".vectorline.v1."
# The number of `access` in access.proto, and its values.
ACCESS = 50401
PUBLIC, INTERNAL = 1, 5
SCOPES = {2: "read", 3: "ingest", 4: "admin"}

# What a servicer answers by `x-http-code` in place of 200.
STATUSES = {
    "Process": {"202": "Stored."},
    "Upload": {"202": "Stored.", "200": "Of `estimate=true`: the estimate; `task_id` is empty."},
    "RetryTask": {"202": "Stored, or going on."},
    "ConfirmTask": {"202": "Going on."},
    "RetryTasks": {"202": "Retried.", "200": "Of `dry_run=true`: what would be retried."},
    "Verify": {"202": "Stored.", "200": "Of `dry_run=true`: what it would cost."},
    "Adopt": {"202": "Stored.", "200": "Of `dry_run=true`: what it would cost."},
    "Remove": {"202": "Stored.", "200": "Of `dry_run`, the default: what it would delete, and cost."},
    "CancelTask": {"204": "Cancelled."},
    "GetHealth": {"200": "Healthy or degraded.", "503": "Unhealthy."},
}
# Refusals beyond those that every method shares.
CONFLICTS = {
    "Process": "The idempotency key was used with another body.",
    "Upload": "The idempotency key was used with another body.",
    "RetryTask": "There is nothing to retry, or a later task wrote the same source.",
    "ConfirmTask": "No held mirror, or the list of ids is another one by now.",
    "CancelTask": "The task is finished.",
    "StopTask": "The task is finished.",
}
IDEMPOTENT = ("Process", "Upload")
NOT_FOUND = ("Process", "Estimate")  # besides those with an id in their path: an upload_id or a source
# What a stream of `google.api.HttpBody` comes as, and what an upload may be.
FILES = {"GetRejects": ("text/csv", "application/jsonl")}
UPLOADS = ("text/csv", "application/gzip", "application/octet-stream")
EVENTS = ("WatchTask", "WatchTasks")
HEADERS = {
    "StreamTasks": {
        "x-next-page-token": {
            "description": "The `page_token` of the next page; absent on the last.",
            "schema": {"type": "string"},
        }
    }
}

SCALARS: dict[int, Json] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0, "maximum": 4_294_967_295},
    Field.TYPE_INT64: {"type": "string", "format": "int64"},
    Field.TYPE_UINT64: {"type": "string", "format": "uint64"},
    Field.TYPE_BYTES: {"type": "string", "format": "byte"},
}
WELL_KNOWN: dict[str, Json] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    ".google.protobuf.Empty": {"type": "object"},
}
ERROR = "Error"
DETAILS = ("ErrorInfo", "BadRequest", "RetryInfo")

INTRODUCTION = """Rows of a CSV become vectors in Pinecone.

Every path needs a key in `X-API-Key` but for those of health. Fields that are not set yet are absent, not null; zeros \
and false are printed; times are RFC 3339 in UTC. Errors have one form everywhere, `google.rpc.Status` as JSON, and a \
bad request names every bad field at once. Unknown query parameters are refused. The same methods are served by gRPC \
on the same port, under the names given as operation ids."""


class Source:
    """The descriptor set, by name."""

    def __init__(self, descriptors: bytes) -> None:
        self.files = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
        self.messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self.enums: dict[str, descriptor_pb2.EnumDescriptorProto] = {}
        self.comments: dict[str, str] = {}
        for file in self.files:
            self._read(file)

    def _read(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        at = {tuple(spot.path): " ".join(spot.leading_comments.split()) for spot in file.source_code_info.location}
        package = f".{file.package}."
        for number, message in enumerate(file.message_type):
            name = package + message.name
            self.messages[name] = message
            self.comments[name] = at.get((4, number), "")
            for index, field in enumerate(message.field):
                self.comments[f"{name}.{field.name}"] = at.get((4, number, 2, index), "")
            for nested in message.nested_type:  # map entries
                self.messages[f"{name}.{nested.name}"] = nested
        for number, enum in enumerate(file.enum_type):
            self.enums[package + enum.name] = enum
            self.comments[package + enum.name] = at.get((5, number), "")
        for number, service in enumerate(file.service):
            self.comments[package + service.name] = at.get((6, number), "")
            for index, method in enumerate(service.method):
                self.comments[f"{package}{service.name}.{method.name}"] = at.get((6, number, 2, index), "")

    def entry(self, name: str) -> list[Field]:
        """Key and value of a map, by the type of its field; empty: it is none."""
        message = self.messages.get(name)
        return list(message.field) if message is not None and message.options.map_entry else []

    def comment_of(self, message: str, field: str) -> str:
        """A field's comment; "See X." is answered by the field of the same name in X."""
        comment = self.comments.get(f"{message}.{field}", "")
        elsewhere = re.fullmatch(r"See (\w+)\.", comment)
        return self.comment_of(PACKAGE + elsewhere[1], field) if elsewhere else comment


class Document:
    """The OpenAPI document, built up path by path."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._schemas: dict[str, Json] = {}
        self._paths: dict[str, Json] = {}
        self._tags: list[Json] = []

    def build(self) -> Json:
        """The whole document."""
        for file in self._source.files:
            for service in file.service:
                self._service(f".{file.package}.{service.name}", service)
        self._static()
        return {
            "openapi": "3.1.0",
            "info": {"title": "Vectorline", "version": "v1", "description": INTRODUCTION},
            "servers": [{"url": "/"}],
            "security": [{"key": []}],
            "tags": self._tags,
            "paths": dict(sorted(self._paths.items())),
            "components": {
                "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
                "schemas": dict(sorted({**self._schemas, **_error_schemas()}.items())),
            },
        }

    def _service(self, name: str, service: descriptor_pb2.ServiceDescriptorProto) -> None:
        tag = service.name.removesuffix("Service").lower()
        public = [method for method in service.method if access_of(method) != INTERNAL and _bindings(method)]
        if public:
            self._tags.append({"name": tag, "description": self._source.comments[name]})
        for method in public:
            for number, rule in enumerate(_bindings(method)):
                verb = rule.WhichOneof("pattern")
                path = getattr(rule, verb)
                operation = self._operation(name, method, rule, path)
                operation |= {"operationId": method.name + (f"_{number + 1}" if number else ""), "tags": [tag]}
                self._paths.setdefault(path, {})[verb] = operation

    # ---- one operation

    def _operation(self, service: str, method: Method, rule: http_pb2.HttpRule, path: str) -> Json:
        access = access_of(method)
        comment = self._source.comments[f"{service}.{method.name}"]
        scope = f" Needs the scope `{SCOPES[access]}`." if access in SCOPES else " Needs no key."
        operation: Json = {
            "summary": comment.partition(". ")[0].rstrip("."),
            "description": comment + scope,
            "parameters": list(self._parameters(method, rule, path)),
            "responses": self._responses(method, path),
        }
        if access == PUBLIC:
            operation["security"] = []
        body = self._body(method, rule)
        if body:
            operation["requestBody"] = body
        return operation

    def _parameters(self, method: Method, rule: http_pb2.HttpRule, path: str) -> Iterator[Json]:
        message = self._source.messages[method.input_type]
        in_path = re.findall(r"\{(\w+)\}", path)
        for field in message.field:
            name, comment = field.name, self._source.comment_of(method.input_type, field.name)
            if name in in_path:
                schema = {"type": "string", "minLength": 1}
                yield {"name": name, "in": "path", "required": True, "description": comment, "schema": schema}
            elif rule.body not in {"*", name} and not comment.startswith("Ignored"):
                parameter: Json = {"name": name, "in": "query", "description": comment, "schema": self._schema(field)}
                yield parameter | ({"required": True} if _required(field) else {})
        if method.name in IDEMPOTENT:
            yield {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key answers the same task; like `request_id`, which it must not contradict.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
            }

    def _body(self, method: Method, rule: http_pb2.HttpRule) -> Json | None:
        if not rule.body:
            return None
        if rule.body != "*":
            file = {"schema": {"type": "string", "format": "binary"}}
            return {"required": True, "content": dict.fromkeys(UPLOADS, file)}
        schema = self._reference(method.input_type, printed=False)
        return {"required": True, "content": {"application/json": {"schema": schema}}}

    def _responses(self, method: Method, path: str) -> Json:
        responses: Json = {}
        for status, words in STATUSES.get(method.name, {"200": "Done."}).items():
            responses[status] = {"description": words} | ({} if status == "204" else {"content": self._content(method)})
            if method.name in HEADERS:
                responses[status]["headers"] = HEADERS[method.name]
        refusals = {"400": "The request is wrong; every bad field is named."}
        if access_of(method) != PUBLIC:
            refusals |= {
                "401": "No key, or a wrong one.",
                "403": "The key lacks the scope.",
                "429": "Too much at once.",
            }
        if "{task_id}" in path or method.name in NOT_FOUND:
            refusals["404"] = "There is no such thing, or it is another caller's."
        if method.name in CONFLICTS:
            refusals["409"] = CONFLICTS[method.name]
        refusals |= {"503": "Not now; try again."} if "503" not in responses else {}
        refusals["default"] = "Another error, in the same form."
        error = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ERROR}"}}}
        return responses | {status: {"description": words, "content": error} for status, words in refusals.items()}

    def _content(self, method: Method) -> Json:
        if method.name in FILES:
            return {kind: {"schema": {"type": "string", "format": "binary"}} for kind in FILES[method.name]}
        schema = self._reference(method.output_type, printed=True)
        if method.name in EVENTS:
            name = schema["$ref"].rpartition("/")[2]
            words = f"Server-sent events; the `data` of each is a {name} as JSON."
            return {"text/event-stream": {"schema": {"type": "string", "description": words}}}
        return {
            "application/json": {"schema": {"type": "array", "items": schema} if method.server_streaming else schema}
        }

    # ---- schemas

    def _reference(self, name: str, *, printed: bool) -> Json:
        """A message; `printed`: as an answer, where what is always printed is required."""
        if name in WELL_KNOWN:
            return dict(WELL_KNOWN[name])
        short = name.removeprefix(PACKAGE)
        if short not in self._schemas:
            self._schemas[short] = {}  # stands while its fields are read: messages may hold themselves
            message = self._source.messages[name]
            fields = {field.name: self._described(name, field, printed=printed) for field in message.field}
            always = [field.name for field in message.field if (_printed(field) if printed else _required(field))]
            self._schemas[short] = {
                "type": "object",
                "description": self._source.comments[name],
                "properties": fields,
            } | ({"required": always} if always else {})
        return {"$ref": f"#/components/schemas/{short}"}

    def _described(self, message: str, field: Field, *, printed: bool) -> Json:
        return {**self._schema(field, printed=printed), "description": self._source.comment_of(message, field.name)}

    def _schema(self, field: Field, *, printed: bool = False) -> Json:
        if entry := self._source.entry(field.type_name):
            return {"type": "object", "additionalProperties": self._one(entry[1], printed=printed)}
        one = self._one(field, printed=printed)
        return {"type": "array", "items": one} if field.label == Field.LABEL_REPEATED else one

    def _one(self, field: Field, *, printed: bool) -> Json:
        if field.type == Field.TYPE_MESSAGE:
            return self._reference(field.type_name, printed=printed)
        if field.type == Field.TYPE_ENUM:
            return {"type": "string", "enum": [value.name for value in self._source.enums[field.type_name].value]}
        return dict(SCALARS[field.type])

    # ---- what Envoy answers by itself

    def _static(self) -> None:
        self._tags.append({"name": "gateway", "description": "Answered by the gateway itself."})
        for part in ("", "/ingest", "/embedder", "/indexer"):
            words = f"Whether {part[1:] or 'every service'} has a healthy replica, for load balancers"
            self._file(f"/healthz{part}", f"GetHealthz{part[1:].capitalize()}", words, {"200": "Yes.", "503": "No."})
        self._file(
            "/api/v1/openapi.json", "GetOpenapi", "This document", {"200": "It."}, kind="application/json", schema={}
        )
        self._file("/api/v1/docs", "GetDocs", "This document as a page", {"200": "It."}, kind="text/html")

    def _file(
        self,
        path: str,
        name: str,
        words: str,
        statuses: dict[str, str],
        *,
        kind: str = "",
        schema: Json | None = None,
    ) -> None:
        content = {"content": {kind: {"schema": {"type": "string"} if schema is None else schema}}} if kind else {}
        responses = {status: {"description": said} | content for status, said in statuses.items()}
        self._paths[path] = {
            "get": {
                "operationId": name,
                "tags": ["gateway"],
                "summary": words,
                "description": f"{words}. Needs no key.",
                "security": [],
                "responses": responses,
            }
        }


def document(descriptors: bytes) -> Json:
    """The OpenAPI document of a serialised FileDescriptorSet with source info."""
    return Document(Source(descriptors)).build()


def _bindings(method: Method) -> list[http_pb2.HttpRule]:
    if not method.options.HasExtension(annotations_pb2.http):
        return []
    rule = method.options.Extensions[annotations_pb2.http]
    return [rule, *rule.additional_bindings]


def access_of(method: Method) -> int:
    """`access` of a method. Our own modules are not there yet while this runs, so it is read as an unknown field."""
    known = unknown_fields.UnknownFieldSet(method.options)
    return next((int(field.data) for field in known if field.field_number == ACCESS), 0)


def _required(field: Field) -> bool:
    return field_behavior_pb2.REQUIRED in field.options.Extensions[field_behavior_pb2.field_behavior]


def _printed(field: Field) -> bool:
    """Whether Envoy prints it also when it is empty."""
    if field.proto3_optional:
        return False
    return field.label == Field.LABEL_REPEATED or field.type != Field.TYPE_MESSAGE


def _error_schemas() -> dict[str, Json]:
    text, whole = {"type": "string"}, {"type": "integer", "format": "int32"}
    kinds = [f"type.googleapis.com/google.rpc.{name}" for name in DETAILS]
    violation = {"type": "object", "properties": {"field": text, "description": text}}
    return {
        ERROR: {
            "type": "object",
            "description": "google.rpc.Status as JSON.",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {**whole, "description": "The gRPC code; the HTTP status follows from it."},
                "message": {**text, "description": "A sentence for people."},
                "details": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/ErrorDetail"},
                    "description": "An ErrorInfo first; a BadRequest and a RetryInfo where there is more to say.",
                },
            },
        },
        "ErrorDetail": {
            "type": "object",
            "description": "One of google.rpc's details, told apart by `@type`.",
            "required": ["@type"],
            "properties": {
                "@type": {**text, "examples": kinds},
                "reason": {**text, "description": "ErrorInfo: the stable name, e.g. TASK_NOT_FOUND."},
                "domain": {**text, "description": "ErrorInfo: vectorline."},
                "metadata": {"type": "object", "additionalProperties": text, "description": "ErrorInfo: context."},
                "field_violations": {"type": "array", "items": violation, "description": "BadRequest: the bad fields."},
                "retry_delay": {**text, "description": "RetryInfo: seconds, e.g. 1.5s."},
            },
        },
    }
