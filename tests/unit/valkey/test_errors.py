"""What Valkey's error replies mean, told by the client library's own parser."""

from types import SimpleNamespace

import pytest
import redis.exceptions
from redis._parsers import base

from services.chunks import errors as queue_errors
from services.valkey import errors

READONLY = "READONLY You can't write against a read only replica."
NOT_NOW = {
    "OOM command not allowed when used memory > 'maxmemory'.": errors.OutOfMemory,
    "OOM command not allowed when used memory > 'maxmemory'. script: 6f0c, on @user_script:1.": errors.OutOfMemory,
    "ERR Error running script (call to f_6f0c): @user_script:1: -OOM command not allowed ": errors.OutOfMemory,
    "LOADING Valkey is loading the dataset in memory": errors.NotNow,
    READONLY: errors.NotNow,
    "READONLY You can not run script with write flag on readonly replica.": errors.NotNow,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": errors.NotNow,
    "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.": errors.NotNow,
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": errors.NotNow,
    "CLUSTERDOWN Hash slot not served": errors.NotNow,
    "CLUSTERDOWN The cluster is down": errors.NotNow,
    "NOREPLICAS Not enough good replicas to write.": errors.NotNow,
    "NOSCRIPT No matching script.": errors.NotNow,
    "TRYAGAIN Multiple keys request during rehashing of slot": errors.NotNow,
    "MOVED 3999 127.0.0.1:6381": errors.NotNow,
    "ASK 3999 127.0.0.1:6381": errors.NotNow,
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": errors.NotNow,
    "NOPERM User line has no permissions to run the 'evalsha' command": errors.NotNow,
    "NOAUTH Authentication required.": errors.NotNow,
    "WRONGPASS invalid username-password pair or user is disabled.": errors.NotNow,
    "ERR max number of clients reached": errors.NotNow,
}
BUGS = [
    "ERR unknown command 'XREDGROUP'",
    "ERR wrong number of arguments for 'get' command",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "BUSYGROUP Consumer Group name already exists",
    "BUSYKEY Target key name already exists.",
    "NOGROUP No such key 'x' or consumer group 'y'",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "ERR user_script:3: the reply was READONLY once",
]
LEFT = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "MOVED", "ASK", "UNBLOCKED", "NOAUTH")


def parsed(reply: str) -> Exception:
    error = base.BaseParser.parse_error(reply)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("reply", NOT_NOW)
def test_a_reply_that_means_not_now_is_no_defect(reply: str) -> None:
    with pytest.raises(errors.NotNow) as caught, errors.translated():
        raise parsed(reply)

    assert type(caught.value) is NOT_NOW[reply]
    assert caught.value.__cause__ is not None
    words = queue_errors.QueueFull if NOT_NOW[reply] is errors.OutOfMemory else queue_errors.QueueUnavailable
    with pytest.raises(words), queue_errors.translated():
        raise parsed(reply)


@pytest.mark.parametrize("reply", BUGS)
def test_a_reply_that_is_a_defect_passes_as_it_is(reply: str) -> None:
    error = parsed(reply)

    with pytest.raises(redis.exceptions.ResponseError) as caught, errors.translated():
        raise error

    assert caught.value is error


@pytest.mark.parametrize("reply", [*NOT_NOW, *BUGS])
def test_only_a_node_that_another_may_have_replaced_is_left(reply: str) -> None:
    assert errors.left(parsed(reply)) == reply.startswith((*LEFT, "WRONGPASS"))


@pytest.mark.parametrize(
    "error", [ConnectionResetError("reset"), TimeoutError("late"), redis.exceptions.TimeoutError()]
)
def test_a_broken_connection_is_not_now(error: Exception) -> None:
    with pytest.raises(errors.NotNow), errors.translated():
        raise error


def test_a_defect_of_our_own_passes() -> None:
    with pytest.raises(AttributeError), errors.translated():
        SimpleNamespace().nothing  # noqa: B018 (that is what raises)
