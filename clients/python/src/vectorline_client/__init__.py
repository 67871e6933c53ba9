"""A client of Vectorline: rows become vectors in Pinecone, and every row is accounted for.

    from vectorline_client import Client

    with Client("http://localhost:8000", api_key="…") as client:
        client.load("items.csv", question_id=232, namespace="v2").wait(progress=print)

`Client` and `AsyncClient` have the same methods. Answers are the dataclasses of `messages`, errors the types of
`errors`, both below `VectorlineError`.
"""

import logging

from vectorline_messages import messages

from vectorline_client._async.client import AsyncClient
from vectorline_client._async.task_handle import AsyncTaskHandle
from vectorline_client._sync.client import Client
from vectorline_client._sync.task_handle import TaskHandle
from vectorline_client.connection import TLS
from vectorline_client.errors import (
    ApiError,
    BadField,
    Blocked,
    Conflict,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    RowsRejected,
    TaskCancelled,
    TaskError,
    TaskFailed,
    Unauthenticated,
    Unavailable,
    UnknownAddress,
    Unsupported,
    VectorlineError,
    WaitTimeout,
)
from vectorline_client.filters import Filters
from vectorline_client.outcome import Progress
from vectorline_client.wire import as_dict

__all__ = [
    "TLS",
    "ApiError",
    "AsyncClient",
    "AsyncTaskHandle",
    "BadField",
    "Blocked",
    "Client",
    "Conflict",
    "DeadlineExceeded",
    "Filters",
    "InternalError",
    "InvalidRequest",
    "NotAllowed",
    "NotFound",
    "Progress",
    "QuotaExceeded",
    "RowsRejected",
    "TaskCancelled",
    "TaskError",
    "TaskFailed",
    "TaskHandle",
    "Unauthenticated",
    "Unavailable",
    "UnknownAddress",
    "Unsupported",
    "VectorlineError",
    "WaitTimeout",
    "as_dict",
    "messages",
]

# grpc logs the source of an upload that cannot be read; it is raised, too.
logging.getLogger("grpc").addHandler(logging.NullHandler())
