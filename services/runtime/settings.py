"""Settings: one frozen class per concern, read from the environment once, handed in, never a global."""

import sys
from typing import Annotated, Literal, NoReturn, TypeVar

import pydantic
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, pydantic.Field(ge=0, le=65535)]


class Section(BaseSettings):
    """A group of environment variables. Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)


class ProcessSettings(Section):
    """What every service process is told."""

    environment: str = pydantic.Field("development", description="Name of the deployment; `production` is strict.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = pydantic.Field(
        "INFO", description="Least severe log line to print."
    )
    process_name: str = pydantic.Field("", description="Name of this process in logs, e.g. embedder-1.")
    grpc_host: str = pydantic.Field("0.0.0.0", description="Address that the gRPC server binds.")  # noqa: S104 (a container listens everywhere)
    grpc_port: Port = pydantic.Field(50051, description="Port that the gRPC server binds.")
    metrics_port: Port = pydantic.Field(0, description="Port of /metrics for Prometheus; 0: none.")
    grace_seconds: float = pydantic.Field(25.0, gt=0, description="Time to drain after SIGTERM before calls are cut.")
    leave_seconds: float = pydantic.Field(
        3.0, ge=0, description="After SIGTERM calls are served for so long, until load balancers have turned away."
    )
    grpc_reflection: bool = pydantic.Field(False, description="Serve grpc.reflection.")
    api_key: pydantic.SecretStr = pydantic.Field(
        pydantic.SecretStr(""), description="The key that callers send as x-api-key."
    )
    internal_token: pydantic.SecretStr = pydantic.Field(
        pydantic.SecretStr(""), description="What the services prove their identity with to each other."
    )

    @property
    def production(self) -> bool:
        """Whether missing safety is an error rather than a warning."""
        return self.environment.lower() in {"production", "prod"}


SectionT = TypeVar("SectionT", bound=Section)


def load(section: type[SectionT]) -> SectionT:
    """Read a section, or stop the process with one line that names the variable and what is wrong with it."""
    try:
        return section()
    except pydantic.ValidationError as error:
        complaints = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}" for problem in error.errors()
        )
        refuse(complaints)


def refuse(complaint: str) -> NoReturn:
    """Stop the process at start with one line on stderr; exit code 2."""
    sys.stderr.write(f"Wrong configuration: {complaint}\n")
    raise SystemExit(2)
