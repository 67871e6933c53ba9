"""Put the line together: dependencies, provisioning, services, gateway."""

import dataclasses
import pathlib
import sys
from collections.abc import Mapping

from gateway import render
from sandbox.line import dependencies, environment, ports, run_dir, specs

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HOST = dependencies.HOST
MOST_REPLICAS = 64

# The services in the order in which they start; the variable with their count and the first of their usual ports.
SERVICES = {"indexer": ("INDEXERS", 7301), "embedder": ("EMBEDDERS", 7201), "ingest": ("INGESTS", 7101)}
USUAL_PORTS = {
    "gateway": 8000,
    "envoy-admin": 9901,
    "valkey": 6379,
    "aws": 4566,
    "openai": 9001,
    "pinecone": 9002,
    "metabase": 9003,
}
# Of the first service process; the others follow.
METRICS_PORT = 9100


class WrongSettingError(ValueError):
    """A variable is not what it should be; the message names it."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A line, ready to be started."""

    plan: specs.Plan
    endpoints: str  # the content of endpoints.env
    gateway_config: str
    addresses: Mapping[str, str]
    notes: tuple[str, ...]  # lines for people: whose dependencies these are, and which ports moved


def make(inherited: Mapping[str, str], run: run_dir.RunDir, *, running: bool) -> Line:
    """Decide what this line is; writes only the ports and the generated keys.

    Raises:
        WrongSettingError: A count, a port or an address is wrong.
        ports.PortTakenError: API_PORT is in use.
        servers.MissingServerError: Envoy or Valkey is neither given nor here.
    """
    counts = {service: _count(inherited, variable) for service, (variable, _) in SERVICES.items()}
    chooser = ports.Ports(run, running=running)
    usual = dict(USUAL_PORTS)
    for service, (_, first) in SERVICES.items():
        usual.update({f"{service}-{number}": first + number - 1 for number in range(1, counts[service] + 1)})
        usual.update({f"{service}-{number}-metrics": METRICS_PORT for number in range(1, counts[service] + 1)})
    fixed = {"gateway": _port(inherited)} if inherited.get("API_PORT") else {}
    port = chooser.choose(usual, fixed)

    chosen = dependencies.all_of(inherited, port, run)
    shared = environment.of_processes(inherited, chosen, run)
    replicas = {
        service: [f"{HOST}:{port[f'{service}-{number}']}" for number in range(1, counts[service] + 1)]
        for service in SERVICES
    }
    config = _gateway_config(shared, port, replicas)
    addresses = {
        "GATEWAY_URL": f"http://{HOST}:{port['gateway']}",
        "ENVOY_ADMIN_URL": f"http://{HOST}:{port['envoy-admin']}",
        **{f"{service.upper()}_ADDR": places[0] for service, places in replicas.items()},
    }
    processes = [dependency.process for dependency in chosen if dependency.process is not None]
    processes.append(_provisioning(environment.of_role(inherited, "provision")))
    for service in SERVICES:
        own = environment.of_role(inherited, service)
        processes += [_service(service, number, port, replicas, own) for number in range(1, counts[service] + 1)]
    processes.append(dependencies.gateway(config, run, port["gateway"]))
    return Line(
        plan=specs.Plan(tuple(processes), shared, str(ROOT)),
        endpoints=environment.endpoints(shared, addresses),
        gateway_config=config,
        addresses=addresses,
        notes=(*(dependency.told for dependency in chosen), *chooser.moved),
    )


def _provisioning(own: Mapping[str, str]) -> specs.Process:
    return specs.Process(
        name="provision",
        role="provision",
        stage=2,
        command=(sys.executable, "-m", "services.indexer.provision"),
        environment=own,
        once=True,
    )


def _service(
    service: str,
    number: int,
    port: Mapping[str, int],
    replicas: Mapping[str, list[str]],
    own: Mapping[str, str],
) -> specs.Process:
    name = f"{service}-{number}"
    return specs.Process(
        name=name,
        role=service,
        stage=3,
        command=(sys.executable, "-m", f"services.{service}"),
        environment={
            "PROCESS_NAME": name,
            "GRPC_HOST": HOST,
            "GRPC_PORT": str(port[name]),
            "METRICS_PORT": str(port[f"{name}-metrics"]),
            "INDEXER_ADDR": ",".join(replicas["indexer"]),
            **own,
        },
        probe=specs.Probe("grpc", f"{HOST}:{port[name]}", f"vectorline.v1.{service.capitalize()}Service"),
    )


def _gateway_config(shared: Mapping[str, str], port: Mapping[str, int], replicas: Mapping[str, list[str]]) -> str:
    ours = {
        "API_HOST": shared.get("API_HOST", HOST),
        "API_PORT": str(port["gateway"]),
        "ENVOY_ADMIN_PORT": str(port["envoy-admin"]),
        **{f"{service.upper()}_ADDRS": ",".join(places) for service, places in replicas.items()},
    }
    try:
        return render.render({**shared, **ours})
    except render.WrongValueError as error:
        raise WrongSettingError(str(error)) from error


def _count(inherited: Mapping[str, str], variable: str) -> int:
    text = inherited.get(variable) or "1"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_REPLICAS):
        raise WrongSettingError(f"{variable}: {text!r} is not a whole number from 1 to {MOST_REPLICAS}.")
    return int(text)


def _port(inherited: Mapping[str, str]) -> int:
    text = inherited["API_PORT"]
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise WrongSettingError(f"API_PORT: {text!r} is not a port.")
    return int(text)
