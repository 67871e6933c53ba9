"""The template against the environment and against the protos."""

import json
import pathlib
import re
import shutil
from typing import Any

import pytest
import yaml
from google.api import annotations_pb2
from vectorline.v1 import access_pb2, embedder_pb2, indexer_pb2, ingest_pb2, ledger_pb2

from gateway import render

PUBLIC = [
    service
    for module in (ingest_pb2, embedder_pb2, indexer_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
SERVICES = [*PUBLIC, *ledger_pb2.DESCRIPTOR.services_by_name.values()]


def methods() -> list[Any]:
    return [method for service in SERVICES for method in service.methods]


def rendered(**environment: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(render.render(environment))
    return loaded


def routes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manager(rendered())["route_config"]["virtual_hosts"][0]["routes"]
    return found


def grpc_route(path: str) -> dict[str, Any] | None:
    for route in routes():
        if "grpc" in route["match"] and re.fullmatch(route["match"]["safe_regex"]["regex"], path):
            return route
    return None


def manager(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def http_filter(config: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each["typed_config"] for each in manager(config)["http_filters"] if each["name"].endswith(name))


def clusters(config: dict[str, Any]) -> dict[str, Any]:
    return {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_a_method_has_a_route_exactly_if_outsiders_may_call_it(method: Any) -> None:
    route = grpc_route(f"/{method.containing_service.full_name}/{method.name}")

    if method.GetOptions().Extensions[access_pb2.access] == access_pb2.ACCESS_INTERNAL:
        assert route is None
    else:
        assert route is not None, "name the method in gateway/envoy.yaml"
        service = method.containing_service.name.removesuffix("Service").lower()
        assert route["route"]["cluster"] == service
        if method.client_streaming:
            assert route["typed_per_filter_config"]["envoy.filters.http.buffer"]["disabled"], "a body must not be held"
            assert route["route"]["timeout"] == "0s"
            assert route["route"]["max_stream_duration"] == {"max_stream_duration": "0s"}


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_rest_path_answers_405_to_other_methods(method: Any) -> None:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    bindings = [each for each in (rule, *rule.additional_bindings) if each.WhichOneof("pattern")]
    for verb, path in ((each.WhichOneof("pattern"), getattr(each, each.WhichOneof("pattern"))) for each in bindings):
        plain = re.sub(r"\{\w+\}", "x", path)
        route = next(
            route
            for route in routes()
            if route.get("direct_response", {}).get("status") == 405
            and "safe_regex" in route["match"]
            and re.fullmatch(route["match"]["safe_regex"]["regex"], plain)
        )
        assert route["response_headers_to_add"][0]["header"] == {
            "key": "allow",
            "value": {"get": "GET, HEAD"}.get(verb, verb.upper()),
        }


def test_only_watch_is_sent_as_events() -> None:
    watch = [route["name"] for route in routes() if "stream_sse_style_delimited" in json.dumps(route)]

    assert watch == ["watch"]


def test_the_answer_to_any_other_error_stands_behind_those_that_have_words_of_their_own() -> None:
    _health, *mappers = manager(rendered())["local_reply_config"]["mappers"]
    asked = [each["filter"]["and_filter"]["filters"][-1]["status_code_filter"]["comparison"] for each in mappers]

    assert [each["op"] for each in asked] == ["EQ"] * len(render.REPLIES) + ["GE"]
    assert [each["value"]["default_value"] for each in asked] == [*render.REPLIES, 400]


def test_events_are_told_as_every_other_answer_but_for_their_form() -> None:
    whole = http_filter(rendered(), "grpc_json_transcoder")
    (watch,) = (route for route in routes() if route["name"] == "watch")
    events = watch["typed_per_filter_config"]["envoy.filters.http.grpc_json_transcoder"]

    assert events["print_options"] == whole["print_options"] | {"stream_sse_style_delimited": True}
    assert {**events, "print_options": None} == {**whole, "print_options": None}


def test_each_address_becomes_an_endpoint() -> None:
    config = rendered(INDEXER_ADDRS="127.0.0.1:7301, indexer.internal:7000,[::1]:9")
    endpoints = clusters(config)["indexer"]["load_assignment"]["endpoints"][0]["lb_endpoints"]

    assert [
        (place["address"], place["port_value"])
        for place in (endpoint["endpoint"]["address"]["socket_address"] for endpoint in endpoints)
    ] == [("127.0.0.1", 7301), ("indexer.internal", 7000), ("::1", 9)]


def test_each_public_method_is_timed_under_its_own_name() -> None:
    host = manager(rendered())["route_config"]["virtual_hosts"][0]
    timed = {each["name"]: each["headers"][0]["string_match"]["exact"] for each in host["virtual_clusters"]}

    assert timed == {
        method.name: f"/{method.containing_service.full_name}/{method.name}"
        for method in methods()
        if method.GetOptions().Extensions[access_pb2.access] != access_pb2.ACCESS_INTERNAL
    }


def test_metrics_are_shown_on_a_port_of_their_own_if_one_is_set() -> None:
    config = rendered(ENVOY_METRICS_PORT="9902", API_HOST="10.0.0.1", ENVOY_ADMIN_PORT="19901")
    _public, shown = config["static_resources"]["listeners"]
    (route,) = shown["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]

    assert shown["address"]["socket_address"] == {"address": "10.0.0.1", "port_value": 9902}
    assert route["match"] == {"path": "/metrics"}, "nothing else of the admin page"
    place = clusters(config)["admin"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    assert place["socket_address"] == {"address": "127.0.0.1", "port_value": 19901}


def test_no_metrics_are_shown_where_no_port_is_set() -> None:
    assert len(rendered()["static_resources"]["listeners"]) == 1
    assert "admin" not in clusters(rendered())


def test_each_cluster_asks_for_the_health_of_its_own_service() -> None:
    for name, cluster in clusters(rendered()).items():
        assert cluster["health_checks"][0]["grpc_health_check"]["service_name"] == (
            f"vectorline.v1.{name.capitalize()}Service"
        )


def test_a_replica_has_as_long_to_say_that_it_is_well_as_is_told() -> None:
    for told, seconds in ({}, "1s"), ({"ENVOY_HEALTH_TIMEOUT_SECONDS": "7"}, "7s"):
        for cluster in clusters(rendered(**told)).values():
            assert cluster["health_checks"][0]["timeout"] == seconds


def test_the_admin_page_stays_on_loopback_wherever_the_gateway_listens() -> None:
    config = rendered(API_HOST="10.0.0.1", ENVOY_ADMIN_PORT="19901")

    assert config["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 19901}
    assert config["static_resources"]["listeners"][0]["address"]["socket_address"]["address"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_PORT", "many"),
        ("INGEST_ADDRS", "nowhere"),
        ("INGEST_ADDRS", "host:0"),
        ("EMBEDDER_ADDRS", ","),
        ("ENVOY_HEAP_MEGABYTES", "0"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(render.WrongValueError, match=variable):
        render.render({variable: value})


def test_a_value_cannot_break_out_of_its_place() -> None:
    evil = 'x"}}, evil: {a: "b'
    config = rendered(ENVOY_DOCS=evil)

    assert evil in json.dumps(config).replace('\\"', '"')


def test_a_callers_rate_of_zero_is_no_limit_and_the_default_is_one() -> None:
    limited = http_filter(rendered(), "local_ratelimit")
    free = http_filter(rendered(ENVOY_CLIENT_REQUESTS_PER_SECOND="0"), "local_ratelimit")

    assert (limited["filter_enabled"], limited["filter_enforced"]) == ({"default_value": {"numerator": 100}},) * 2
    assert limited["descriptors"][0]["token_bucket"] == {
        "max_tokens": 2000,
        "tokens_per_fill": 1000,
        "fill_interval": "1s",
    }
    assert (free["filter_enabled"], free["filter_enforced"]) == ({"default_value": {"numerator": 0}},) * 2


def test_a_request_of_one_message_has_the_time_of_its_body_and_of_its_call() -> None:
    options = manager(rendered(ENVOY_UNARY_SECONDS="20", ENVOY_BODY_SECONDS="3"))["common_http_protocol_options"]

    assert options["max_stream_duration"] == "23s"


def test_memory_is_shed_in_steps_up_to_what_the_heap_may_be() -> None:
    manager = rendered(ENVOY_HEAP_MEGABYTES="100")["overload_manager"]
    heap = "envoy.resource_monitors.fixed_heap"
    monitors = {monitor["name"]: monitor["typed_config"] for monitor in manager["resource_monitors"]}

    assert monitors[heap]["max_heap_size_bytes"] == 100_000_000
    steps = [(trigger, step["name"]) for step in manager["actions"] for trigger in step["triggers"]]
    assert {trigger["name"] for trigger, _ in steps} == {heap}


def test_a_caller_over_its_rate_costs_neither_a_script_nor_a_transcoding() -> None:
    names = [each["name"].rpartition(".")[2] for each in manager(rendered())["http_filters"]]

    assert names[-5:] == ["local_ratelimit", "lua", "grpc_json_transcoder", "buffer", "router"]


def test_a_burst_on_one_connection_is_taken_in_turns_with_others() -> None:
    (layer,) = rendered()["layered_runtime"]["layers"]

    assert layer["static_layer"]["http.max_requests_per_io_cycle"] == 1


def test_each_file_of_the_console_is_served_once_and_a_changed_one_under_another_path(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = console_paths()
    assert before["/"] == "text/html; charset=utf-8"
    assert {path.rpartition("/")[2] for path in before if path != "/"} == {
        path.name for path in render.CONSOLE.iterdir() if path.name != "index.html"
    }
    assert set(before.values()) == set(render.TYPES.values())
    copied = shutil.copytree(render.CONSOLE, tmp_path / "console")
    (copied / "app.js").write_text("// Another one: ${API_PORT} 'quoted' \"twice\"\n", encoding="utf-8")
    monkeypatch.setattr(render, "CONSOLE", copied)

    after = console_paths()

    assert after.keys() & before.keys() == {"/"}
    (page,) = (route for route in routes() if route["match"].get("path") == "/")
    linked = re.findall(r"\./(console/[0-9a-f]+/[\w.]+)", page["direct_response"]["body"]["inline_string"])
    assert {f"/{path}" for path in linked} <= after.keys()
    (script,) = (route for route in routes() if route["match"].get("path", "").endswith("/app.js"))
    assert script["direct_response"]["body"]["inline_string"] == (copied / "app.js").read_text()


def console_paths() -> dict[str, str]:
    """Content types by path."""
    found = [route for route in routes() if route.get("name", "").startswith("console")]
    return {
        route["match"]["path"]: next(
            each["header"]["value"]
            for each in route["response_headers_to_add"]
            if each["header"]["key"] == "content-type"
        )
        for route in found
    }


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}


def test_without_an_endpoint_nothing_is_traced() -> None:
    config = rendered()
    assert "tracing" not in manager(config)
    assert "otlp" not in clusters(config)


def test_spans_go_to_the_endpoint_under_the_gateways_name() -> None:
    config = rendered(**ENDPOINT)
    provider = manager(config)["tracing"]["provider"]["typed_config"]
    assert provider["service_name"] == "vectorline-gateway"
    otlp = clusters(config)[provider["grpc_service"]["envoy_grpc"]["cluster_name"]]
    address = otlp["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert (address["address"], address["port_value"]) == ("collector", 4317)
    assert "transport_socket" not in otlp
    safe = clusters(rendered(OTEL_EXPORTER_OTLP_ENDPOINT="https://collector"))["otlp"]
    assert safe["transport_socket"]["typed_config"]["sni"] == "collector"


@pytest.mark.parametrize(
    ("sampler", "share", "percent"),
    [
        ("", "", 100.0),
        ("always_on", "0.5", 100.0),
        ("parentbased_always_off", "", 0.0),
        ("traceidratio", "0.25", 25.0),
        ("parentbased_traceidratio", "0.01", 1.0),
    ],
)
def test_the_gateway_begins_as_many_traces_as_the_sampler_says(sampler: str, share: str, percent: float) -> None:
    config = rendered(**ENDPOINT, OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=share)
    assert manager(config)["tracing"]["random_sampling"]["value"] == percent


@pytest.mark.parametrize(
    "wrong",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:99999"},
        {**ENDPOINT, "OTEL_TRACES_SAMPLER": "sometimes"},
        {**ENDPOINT, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "many"},
        {**ENDPOINT, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.5"},
    ],
)
def test_a_wrong_word_about_tracing_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(render.WrongValueError, match="OTEL_"):
        render.render(wrong)
