"""Fill ``envoy.yaml`` from the environment: ``python gateway/render.py > envoy.json``.

Only the standard library is used, so that any container with Python can run this file, with ``envoy.yaml`` and the
files of ``console/`` beside it. ``DEFAULTS`` is the list of everything that can be set.
"""

import argparse
import hashlib
import ipaddress
import json
import os
import pathlib
import re
import string
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence

HERE = pathlib.Path(__file__).resolve().parent
TEMPLATE = HERE / "envoy.yaml"
CONSOLE = HERE.parent / "console"

# Each service: the variable with its addresses, `host:port` separated by commas. A name that resolves to several
# addresses (a compose service that is scaled) gives one endpoint for each.
ADDRESSES = {
    "INGEST_ADDRS": "127.0.0.1:7101",
    "EMBEDDER_ADDRS": "127.0.0.1:7201",
    "INDEXER_ADDRS": "127.0.0.1:7301",
}

DEFAULTS = {
    **ADDRESSES,
    "API_HOST": "0.0.0.0",  # noqa: S104 - the gateway is the door to the outside
    "API_PORT": "8000",
    "ENVOY_ADMIN_PORT": "9901",  # on 127.0.0.1 only, whatever API_HOST says
    "ENVOY_DESCRIPTORS": str(HERE.parent / "build" / "protos" / "vectorline.binpb"),
    "ENVOY_DOCS": str(HERE / "docs.html"),
    "ENVOY_LUA": str(HERE / "http_code.lua"),
    "ENVOY_CLIENT_REQUESTS_PER_SECOND": "1000",  # of one address, and twice as many at once; 0: no limit
    "ENVOY_HEAP_MEGABYTES": "400",  # load is shed from three quarters of it on; well below what the container may use
    "ENVOY_MAX_CONNECTIONS": "20000",
    "ENVOY_MAX_REQUESTS": "10000",  # under way at once, to each service
    "ENVOY_METRICS_PORT": "0",  # of /metrics for Prometheus, on API_HOST too; 0: none
    "ENVOY_TRUSTED_HOPS": "0",  # proxies in front (an ALB is one) whose x-forwarded-for is believed
    "ENVOY_OPENAPI": str(HERE.parent / "build" / "protos" / "openapi.json"),
    "ENVOY_HEALTH_SECONDS": "1",  # between two health checks of a replica
    "ENVOY_HEALTH_TIMEOUT_SECONDS": "1",  # that a replica has to answer one; two in a row are missed by who is gone
    "ENVOY_UNARY_SECONDS": "300",
    "ENVOY_STREAM_IDLE_SECONDS": "300",  # silence in an upload or a rejects file that ends it
    "ENVOY_WATCH_IDLE_SECONDS": "75",  # a watch has an event at least every 15 s
    "ENVOY_BODY_SECONDS": "60",  # for the whole body of a request of one message
    "ENVOY_HEADERS_SECONDS": "10",  # for the whole head of a request to arrive
    # Spans of what the gateway does, as the services send theirs; empty: none.
    "OTEL_EXPORTER_OTLP_ENDPOINT": "",
    "OTEL_TRACES_SAMPLER": "parentbased_always_on",
    "OTEL_TRACES_SAMPLER_ARG": "1",
    # mTLS to the services: PEM files of the gateway's own, all three or none. Its certificate must not have the name of
    # a service, or its callers would be taken for one.
    "TLS_CERT_FILE": "",
    "TLS_KEY_FILE": "",
    "TLS_CA_FILE": "",
}

# Callers whose rate is known at once.
CLIENTS = 10_000

# Envoy's own errors in the form of all others, for callers of REST: the HTTP status, then the code, the reason and the
# sentence of a google.rpc.Status.
REPLIES = {
    400: (3, "BAD_REQUEST", "The request cannot be understood. %LOCAL_REPLY_BODY%"),
    403: (
        7,
        "NOT_PASSED_ON",
        "The gateway passes requests for this API on, over this connection's scheme, and nothing else.",
    ),
    404: (5, "ROUTE_NOT_FOUND", "There is nothing at this path. /api/v1/openapi.json lists what there is."),
    405: (12, "METHOD_NOT_ALLOWED", "This path takes another method; see the header allow."),
    408: (4, "REQUEST_TIMEOUT", "The request did not arrive in time."),
    413: (
        3,
        "BODY_TOO_LARGE",
        "The body is over 1 MiB. Send files to /api/v1/upload/{filename}, which takes any size.",
    ),
    415: (3, "UNSUPPORTED_MEDIA_TYPE", "The body's content type is not one that this path takes."),
    429: (8, "TOO_MANY_REQUESTS", "Too many requests. Slow down and try again."),
    431: (3, "HEADERS_TOO_LARGE", "The request's headers are over 64 KiB, or more than 100."),
    500: (13, "INTERNAL", "The gateway cannot answer this."),
    502: (14, "BAD_UPSTREAM_ANSWER", "The service broke off while it answered. Try again."),
    503: (
        14,
        "SERVICE_UNAVAILABLE",
        "No replica of the service is ready to answer, or the gateway is short of memory. Try again shortly.",
    ),
    504: (4, "DEADLINE_EXCEEDED", "The service did not answer in time."),
}
# Of any other status from 400 on.
OTHER_REPLY = (2, "GATEWAY_ERROR", "The gateway refused the request. %LOCAL_REPLY_BODY%")

# What the console's files are served as.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
# No other host is asked, no markup is made of text, and no other page can show this one.
CONSOLE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; require-trusted-types-for 'script'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
# How deep routes stand in envoy.yaml.
ROUTE_INDENT = 24

TLS = ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")
OTLP = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG")
_PORTS = ("API_PORT", "ENVOY_ADMIN_PORT")
_TEXT = ("ENVOY_DOCS", "ENVOY_LUA", "ENVOY_OPENAPI")


class WrongValueError(ValueError):
    """A variable holds something that the gateway cannot use; the message names it."""


def _endpoints(variable: str, addresses: str) -> list[dict[str, object]]:
    """``host:port,host:port`` as Envoy's ``lb_endpoints``."""
    endpoints: list[dict[str, object]] = []
    for address in filter(None, (part.strip() for part in addresses.split(","))):
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise WrongValueError(f"{variable}: {address!r} is not host:port")
        endpoints.append({"endpoint": {"address": _socket(host, int(port))}})
    if not endpoints:
        raise WrongValueError(f"{variable}: name at least one host:port")
    return endpoints


def _ip(host: str) -> str:
    """The address that Envoy listens on; it takes no name there."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        raise WrongValueError(f"API_HOST: {host!r} is not an IP address, e.g. 0.0.0.0 or 127.0.0.1") from None


def _transport(service: str, files: Mapping[str, str]) -> str:
    """How a service is spoken to: its certificate must be for its name, wherever it is."""
    given = [name for name in TLS if files[name]]
    if not given:
        kind = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
        return json.dumps({"name": "raw", "typed_config": {"@type": f"type.googleapis.com/{kind}"}})
    if len(given) < len(TLS):
        raise WrongValueError(f"{', '.join(name for name in TLS if name not in given)}: mTLS needs all three files")
    kind = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    own = {"filename": files["TLS_CERT_FILE"]}, {"filename": files["TLS_KEY_FILE"]}
    context = {
        "alpn_protocols": ["h2"],
        "tls_certificates": [{"certificate_chain": own[0], "private_key": own[1]}],
        "validation_context": {
            "trusted_ca": {"filename": files["TLS_CA_FILE"]},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": service}}],
        },
    }
    config = {"@type": f"type.googleapis.com/{kind}", "sni": service, "common_tls_context": context}
    return json.dumps({"name": "tls", "typed_config": config})


def _local_replies() -> str:
    """Envoy's ``local_reply_config``. Health answers and callers by gRPC keep what they are used to.

    Envoy would call a health of 200 by gRPC UNKNOWN (2); a load balancer shall read 0, and 14 (of 503) where it is bad.
    """
    said = {"filter": "vectorline", "path": [{"key": "rest"}], "value": {"bool_match": True}}
    grpc = {
        "name": "content-type",
        "string_match": {"prefix": "application/grpc"},
        "invert_match": True,
        "treat_missing_header_as_empty": True,
    }
    before_it = [
        {"metadata_filter": {"matcher": said, "match_if_key_not_found": True}},
        {"header_filter": {"header": grpc}},
    ]
    # As http_code.lua said; before it ran, as the content type says.
    by_rest = [
        {"metadata_filter": {"matcher": said, "match_if_key_not_found": False}},
        {"and_filter": {"filters": before_it}},
    ]
    who = [{"not_health_check_filter": {}}, {"or_filter": {"filters": by_rest}}]
    replies = [("EQ", status, reply) for status, reply in REPLIES.items()] + [("GE", 400, OTHER_REPLY)]
    well = {"header": {"key": "grpc-status", "value": "0"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    by_grpc = {"header_filter": {"header": grpc | {"invert_match": False}}}
    healthy = {
        "filter": {"and_filter": {"filters": [by_grpc, {"status_code_filter": {"comparison": _compared("EQ", 200)}}]}},
        "headers_to_add": [well],
    }
    return json.dumps({"mappers": [healthy, *(_mapper(who, *reply) for reply in replies)]})


def _compared(operator: str, status: int) -> dict[str, object]:
    return {"op": operator, "value": {"default_value": status, "runtime_key": "unused"}}


def _mapper(who: Sequence[object], operator: str, status: int, reply: tuple[int, str, str]) -> dict[str, object]:
    code, reason, message = reply
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "vectorline",
        "metadata": {"details": "%RESPONSE_CODE_DETAILS%"},
    }
    return {
        "filter": {
            "and_filter": {"filters": [*who, {"status_code_filter": {"comparison": _compared(operator, status)}}]}
        },
        "body_format_override": {"json_format": {"code": code, "message": message, "details": [info]}},
    }


def _transcoder(descriptors: str, **print_options: bool) -> str:
    """The filter between REST and gRPC; a route that answers in another form says so by Envoy's print options."""
    kind = "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"
    return json.dumps(
        {
            "@type": f"type.googleapis.com/{kind}",
            "proto_descriptor": descriptors,
            "services": [f"vectorline.v1.{name}Service" for name in ("Ingest", "Embedder", "Indexer")],
            "convert_grpc_status": True,
            "query_param_unescape_plus": True,  # clients write a space as +
            "url_unescape_spec": "ALL_CHARACTERS_EXCEPT_SLASH",  # a file's name may hold any
            # Of an answer that is one message: 1,000 matches with 40 KB of metadata each.
            "max_response_body_size": 67_108_864,
            "request_validation_options": {
                "reject_unknown_query_parameters": True,
                "reject_binding_body_field_collisions": True,
            },
            "print_options": {"always_print_primitive_fields": True, "preserve_proto_field_names": True}
            | print_options,
        }
    )


def _timed(template: str) -> str:
    """Envoy's ``virtual_clusters``: each public method is timed under its own name, whatever route it shares."""
    named = []
    for service, text in re.findall(r"/vectorline\\\.v1\\\.(\w+)/([\w(|)?]+)'", template):
        before, _, several = text.partition("(")
        for rest in _spelled(several.removesuffix(")").split("|")):
            path = {"name": ":path", "string_match": {"exact": f"/vectorline.v1.{service}/{before}{rest}"}}
            named.append({"name": f"{before}{rest}", "headers": [path]})
    return json.dumps(named)


def _spelled(words: Sequence[str]) -> Iterator[str]:
    """Each word without and with a last letter that may be there: `Tasks?`."""
    for word in words:
        yield from (word[:-2], word[:-1]) if word.endswith("?") else (word,)


def _metrics(port: int, host: str, admin: int) -> dict[str, str]:
    """A listener that shows Envoy's metrics and nothing else of its admin page, and the way there; 0: neither."""
    if not port:
        return {"METRICS_LISTENER": "", "METRICS_CLUSTER": ""}
    kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = "envoy.extensions.filters.http.router.v3.Router"
    route = {"match": {"path": "/metrics"}, "route": {"cluster": "admin", "prefix_rewrite": "/stats/prometheus"}}
    manager = {
        "@type": f"type.googleapis.com/{kind}",
        "stat_prefix": "metrics",
        "route_config": {"virtual_hosts": [{"name": "metrics", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"type.googleapis.com/{router}"}}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"name": "metrics", "address": _socket(host, port), "filter_chains": [{"filters": filters}]}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _socket("127.0.0.1", admin)}}]}]
    cluster = {"name": "admin", "load_assignment": {"cluster_name": "admin", "endpoints": endpoints}}
    return {"METRICS_LISTENER": f"- {json.dumps(listener)}", "METRICS_CLUSTER": f"- {json.dumps(cluster)}"}


def _socket(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}


def _console_routes() -> str:
    """The routes of the console's files, which become part of the configuration: nothing has to lie beside Envoy.

    All but the page itself stand below a digest of them all: a new version is never mixed with what a browser has kept.
    """
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(CONSOLE.iterdir()) if path.suffix in TYPES}
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:12]
    page = files.pop("index.html").replace("./console/", f"./console/{digest}/")
    routes = [_file_route("/", page, ".html", "no-cache")]
    for name, text in files.items():
        path = f"/console/{digest}/{name}"
        routes.append(_file_route(path, text, pathlib.PurePath(name).suffix, "public, max-age=31536000, immutable"))
    return "\n".join(" " * ROUTE_INDENT + f"- {json.dumps(route)}" for route in routes)


def _file_route(path: str, text: str, suffix: str, kept: str) -> dict[str, object]:
    headers = {"content-type": TYPES[suffix], "cache-control": kept, **CONSOLE_HEADERS}
    read = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    return {
        "name": f"console {path}",
        "match": {"path": path, "headers": [read]},
        "direct_response": {"status": 200, "body": {"inline_string": text}},
        "response_headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in headers.items()
        ],
    }


def _tracing(endpoint: str, sampler: str, share: str) -> tuple[str, str]:
    """Lines of the template: Envoy's tracer, and the cluster that its spans go to; empty without an endpoint.

    A request that brings a trace along goes on with it, as its caller decided; of the others a share begins one.
    """
    if not endpoint:
        return "", ""
    try:
        parts = urllib.parse.urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        good = False
    if not good:
        raise WrongValueError(f"OTEL_EXPORTER_OTLP_ENDPOINT: {endpoint!r} is not http://host:port or https://host:port")
    assert parts.hostname is not None
    kind = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
    sent = {"envoy_grpc": {"cluster_name": "otlp"}, "timeout": "1s"}
    tracing = {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {"@type": kind, "grpc_service": sent, "service_name": "vectorline-gateway"},
        },
        "random_sampling": {"value": _percent(sampler, share)},
    }
    endpoints = _endpoints("OTLP", f"{parts.hostname}:{parts.port or 4317}")
    http = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    by_h2 = {"@type": f"type.googleapis.com/{http}", "explicit_http_config": {"http2_protocol_options": {}}}
    cluster = {
        "name": "otlp",
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "otlp", "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {http: by_h2},
    }
    if parts.scheme == "https":
        tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
        authorities = {"trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"}}
        context = {"@type": tls, "sni": parts.hostname, "common_tls_context": {"validation_context": authorities}}
        cluster["transport_socket"] = {"name": "tls", "typed_config": context}
    return f"tracing: {json.dumps(tracing)}", f"- {json.dumps(cluster)}"


def _percent(sampler: str, share: str) -> float:
    """Of requests that bring no trace along."""
    fixed = {"always_on": 100.0, "always_off": 0.0}
    name = sampler.removeprefix("parentbased_")
    if name in fixed:
        return fixed[name]
    if name != "traceidratio":
        raise WrongValueError(
            f"OTEL_TRACES_SAMPLER: {sampler!r} is none; always_on, always_off, traceidratio or parentbased_…"
        )
    try:
        ratio = float(share)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise WrongValueError(f"OTEL_TRACES_SAMPLER_ARG: {share!r} is not a share from 0 to 1")
    return 100 * ratio


def _derived(numbers: Mapping[str, int]) -> dict[str, str]:
    """What Envoy wants to be told in other terms than people."""
    rate, heap = numbers["ENVOY_CLIENT_REQUESTS_PER_SECOND"], numbers["ENVOY_HEAP_MEGABYTES"]
    if not heap:
        raise WrongValueError("ENVOY_HEAP_MEGABYTES: Envoy needs some memory")
    return {
        "ENVOY_CLIENT_LIMITED": "100" if rate else "0",
        "ENVOY_CLIENT_RATE": str(rate or 1),  # a bucket of nothing is refused, also where it is not asked
        "ENVOY_CLIENT_BURST": str(2 * rate or 1),
        "ENVOY_CLIENTS": str(CLIENTS),
        "ENVOY_HEAP_BYTES": str(heap * 1_000_000),
        "ENVOY_UNARY_TOTAL_SECONDS": str(numbers["ENVOY_UNARY_SECONDS"] + numbers["ENVOY_BODY_SECONDS"]),
    }


def render(environment: Mapping[str, str]) -> str:
    """Return Envoy's configuration for this environment; an empty variable counts as unset.

    Raises:
        WrongValueError: A variable is not what it should be.
    """
    values = {name: environment.get(name, "").strip() or default for name, default in DEFAULTS.items()}
    filled = {}
    numbers = {}
    for name, value in values.items():
        if name in ADDRESSES:
            filled[name.replace("_ADDRS", "_ENDPOINTS")] = json.dumps(_endpoints(name, value))  # YAML contains JSON
            filled[name.replace("_ADDRS", "_TRANSPORT")] = _transport(name.removesuffix("_ADDRS").lower(), values)
        elif name in TLS or name in OTLP or name == "ENVOY_DESCRIPTORS":
            continue
        elif name == "API_HOST":
            filled[name] = json.dumps(_ip(value))
        elif name in _PORTS and not (value.isascii() and value.isdigit() and 0 < int(value) < 65536):
            raise WrongValueError(f"{name}: {value!r} is not a port, 1 to 65535")
        elif name in _TEXT:
            filled[name] = json.dumps(value)
        elif name == "ENVOY_METRICS_PORT" and not (value.isascii() and value.isdigit() and int(value) < 65536):
            raise WrongValueError(f"{name}: {value!r} is not a port, or 0 for none")
        elif value.isascii() and value.isdigit():
            filled[name] = value
            numbers[name] = int(value)
        else:
            raise WrongValueError(f"{name}: {value!r} is not a whole number")
    filled["CONSOLE_ROUTES"] = _console_routes()
    filled["TRACING"], filled["OTLP_CLUSTER"] = _tracing(*(values[name] for name in OTLP))
    filled["LOCAL_REPLIES"] = _local_replies()
    filled["TRANSCODER"] = _transcoder(values["ENVOY_DESCRIPTORS"])
    filled["TRANSCODER_OF_EVENTS"] = _transcoder(values["ENVOY_DESCRIPTORS"], stream_sse_style_delimited=True)
    template = TEMPLATE.read_text(encoding="utf-8")
    filled["TIMED"] = _timed(template)
    shown = _metrics(numbers["ENVOY_METRICS_PORT"], _ip(values["API_HOST"]), int(values["ENVOY_ADMIN_PORT"]))
    return string.Template(template).substitute(filled | _derived(numbers) | shown)


def main() -> None:
    """Write the configuration where ``--output`` says, or to standard output."""
    parser = argparse.ArgumentParser(description="Fill gateway/envoy.yaml from the environment.")
    parser.add_argument("--output", type=pathlib.Path, help="a file (default: standard output)")
    arguments = parser.parse_args()
    try:
        text = render(os.environ)
    except WrongValueError as error:
        sys.exit(str(error))
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
