"""What Prometheus's own linter says of our metrics."""

import prometheus_client

from observe import reference
from services.runtime import expiry, host
from tests.support import prometheus


def test_metrics_follow_the_conventions() -> None:
    assert reference.entries()  # every module of the services is imported now
    registry = prometheus_client.CollectorRegistry()
    for collector in (host.Host(), expiry.Expiry({})):
        registry.register(collector)
    text = b"".join(prometheus_client.generate_latest(each) for each in (prometheus_client.REGISTRY, registry)).decode()
    ours = "\n".join(line for line in text.splitlines() if "vectorline_" in line and "_created" not in line)

    assert prometheus.promtool("check", "metrics", given=f"{ours}\n") == (0, "")
