"""Settings: one frozen class per concern, read from the environment once, handed in, never a global."""

import ipaddress
import pathlib
import re
import sys
import urllib.parse
from typing import Annotated, Literal, NoReturn, Self, TypeVar

import pydantic
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime import index_names

Port = Annotated[int, pydantic.Field(ge=0, le=65535)]


def _addresses(text: str) -> str:
    several = [each.strip() for each in text.split(",") if each.strip()]
    if not several:
        raise ValueError("it names no address")
    for each in several:
        host, _, port = each.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{each!r} is not host:port")
    if len(several) > 1:
        for each in several:
            try:
                ipaddress.IPv4Address(each.rpartition(":")[0])
            except ValueError:
                raise ValueError(f"{each!r}: one of several is an IPv4 address; a name stands alone") from None
    return ",".join(several)


# host:port, or several IPv4 addresses by comma: gRPC resolves one name, to all of its addresses.
Addresses = Annotated[str, pydantic.AfterValidator(_addresses)]


def _http(text: str) -> str:
    try:
        parts = urllib.parse.urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        good = False
    if not good:
        raise ValueError("must be http://host or https://host, with :port where it is another than theirs")
    return text


HttpUrl = Annotated[str, pydantic.AfterValidator(_http)]


def _sendable(secret: pydantic.SecretStr) -> pydantic.SecretStr:
    # Clients would refuse it at each call, hours later, in words that do not name the variable.
    if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", secret.get_secret_value() or "x"):
        raise ValueError("has characters that no header can carry, or blanks around it (a line end?)")
    return secret


# A secret that is sent in a header.
HeaderSecret = Annotated[pydantic.SecretStr, pydantic.AfterValidator(_sendable)]


def _namespace(text: str) -> str:
    if problem := index_names.problem(text):
        raise ValueError(f"{problem}; must be 1 to {index_names.LIMIT_BYTES} characters of printable ASCII")
    return text


Namespace = Annotated[str, pydantic.AfterValidator(_namespace)]
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
Bucket = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Word = Annotated[str, pydantic.Field(pattern=r"^\S+$")]


class Section(BaseSettings):
    """A group of environment variables. Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True, allow_inf_nan=False
    )


def check_lease(lease_seconds: float, heartbeat_seconds: float) -> None:
    """Raise ValueError where one late heartbeat would lose what is leased."""
    if lease_seconds < 2 * heartbeat_seconds:
        raise ValueError("LEASE_SECONDS must be twice HEARTBEAT_SECONDS or more, or a late heartbeat loses chunks")


class AccessSettings(Section):
    """Who may call. Secrets of any section may be named by ARN: `arn:aws:secretsmanager:…[#field]`."""

    api_key: HeaderSecret = pydantic.Field(
        pydantic.SecretStr(""), description="One key that callers send as x-api-key: id `default`, every scope."
    )
    api_keys: pydantic.SecretStr = pydantic.Field(
        pydantic.SecretStr(""),
        description="Several keys beside it, with scopes, expiry, limits and lists: a JSON list (`vectorline config "
        "new-key` makes an entry), or the path of a file.",
    )
    api_key_pepper: pydantic.SecretStr = pydantic.Field(
        pydantic.SecretStr(""), description="What the hashes in API_KEYS are made with; 16 characters or more."
    )
    internal_token: HeaderSecret = pydantic.Field(
        pydantic.SecretStr(""), description="What the services prove their identity with to each other."
    )
    secrets_refresh_seconds: float = pydantic.Field(
        300.0, gt=0, description="How often secrets named by ARN are fetched anew."
    )


class TlsSettings(Section):
    """mTLS between the services: all three files, or none. See `services.runtime.tls`."""

    tls_cert_file: pathlib.Path | None = pydantic.Field(
        None, description="PEM certificate chain of this process; its SAN is the service's name, e.g. ingest."
    )
    tls_key_file: pathlib.Path | None = pydantic.Field(None, description="PEM key of the certificate.")
    tls_ca_file: pathlib.Path | None = pydantic.Field(None, description="PEM certificate of the CA of all services.")

    @pydantic.model_validator(mode="after")
    def _all_or_none(self) -> Self:
        given = {
            "TLS_CERT_FILE": self.tls_cert_file,
            "TLS_KEY_FILE": self.tls_key_file,
            "TLS_CA_FILE": self.tls_ca_file,
        }
        missing = [name for name, path in given.items() if path is None]
        if 0 < len(missing) < len(given):
            raise ValueError(f"mTLS needs {', '.join(missing)} too")
        return self


class ProcessSettings(AccessSettings, TlsSettings):
    """What every service process is told."""

    environment: str = pydantic.Field(
        "development",
        description="Name of the deployment; `production` refuses to start without a key, and without INTERNAL_TOKEN "
        "or mTLS.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = pydantic.Field(
        "INFO", description="Least severe log line to print: DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )
    log_format: Literal["auto", "json", "text"] = pydantic.Field(
        "auto", description="Log lines as JSON, or as text for people; auto: text on a terminal."
    )
    process_name: str = pydantic.Field("", description="Name of this process in logs, e.g. embedder-1.")
    grpc_host: str = pydantic.Field("0.0.0.0", description="Address that the gRPC server binds.")  # noqa: S104 (a container listens everywhere)
    grpc_port: Port = pydantic.Field(50051, description="Port that the gRPC server binds.")
    metrics_port: Port = pydantic.Field(0, description="Port of /metrics for Prometheus, on GRPC_HOST too; 0: none.")
    grace_seconds: float = pydantic.Field(
        25.0, gt=0, description="Time to drain after LEAVE_SECONDS before calls are cut."
    )
    leave_seconds: float = pydantic.Field(
        3.0,
        ge=0,
        description="After SIGTERM it is NOT_SERVING but serves for so long, until load balancers have turned away.",
    )
    otel_exporter_otlp_endpoint: HttpUrl | None = pydantic.Field(
        None,
        description="Where spans go (OTLP over gRPC), e.g. http://collector:4317; needs the extra `tracing` (an image "
        "with it: --build-arg REQUIREMENTS=tracing). None: nothing is traced.",
    )
    otel_traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = pydantic.Field(
        "parentbased_always_on",
        description="Which traces are recorded, in OpenTelemetry's names, whose other variables (headers, batches, "
        "resource attributes) are read by its SDK.",
    )
    otel_traces_sampler_arg: float = pydantic.Field(
        1.0, ge=0, le=1, description="Of the samplers by traceidratio: the share of traces, 0 to 1."
    )
    grpc_reflection: bool = pydantic.Field(False, description="Serve grpc.reflection.")

    @property
    def production(self) -> bool:
        """Whether missing safety is an error rather than a warning."""
        return self.environment.lower() in {"production", "prod"}


SectionT = TypeVar("SectionT", bound=Section)


class Wrong(Exception):
    """A section cannot be read; the message names the variable and what is wrong with it, and quotes no secret."""


def read(section: type[SectionT]) -> SectionT:
    """Read a section.

    Raises:
        Wrong: A variable is missing, or not what it should be.
    """
    try:
        return section()
    except pydantic.ValidationError as error:
        complaints = "; ".join(
            ": ".join(filter(None, (".".join(str(part) for part in problem["loc"]).upper(), problem["msg"])))
            for problem in error.errors()
        )
        raise Wrong(complaints) from None


def load(section: type[SectionT]) -> SectionT:
    """Read a section, or stop the process with one line that names the variable and what is wrong with it."""
    try:
        return read(section)
    except Wrong as wrong:
        refuse(str(wrong))


def refuse(complaint: str) -> NoReturn:
    """Stop the process at start with one line on stderr; exit code 2."""
    sys.stderr.write(f"Wrong configuration: {complaint}\n")
    raise SystemExit(2)
