"""Traffic as callers send it: to the load balancer of the stack `edge`, which sends it on to Envoy."""

import contextlib
import ssl
import urllib.parse

import httpx

from deploy.check import life, report, roles
from deploy.operations import smoke


def load_balancer(here: roles.Standing, say: report.Report) -> None:
    """A redirect at port 80; at 443 the health, and a load of which every vector is compared."""
    outputs = life.manager(here.account, here.line).outputs(here.line.stack_name("edge"))
    envoy = urllib.parse.urlsplit(here.gateway_url)
    here.account.client("elbv2").register_targets(
        TargetGroupArn=outputs["Rest"], Targets=[{"Id": envoy.hostname, "Port": envoy.port}]
    )
    with contextlib.closing(_caller(here, outputs["LoadBalancerDns"], 80)) as plain:
        answer = plain.get("/api/v1/health")
        where = answer.headers.get("location", "")
        report.expect(
            answer.status_code == 301 and where.startswith("https://"), f"port 80: {answer.status_code} {where}"
        )
    say.shown("the load balancer sends callers of port 80 to TLS")
    with contextlib.closing(_caller(here, outputs["LoadBalancerDns"], 443)) as caller:
        answer = caller.get("/healthz")
        report.expect(answer.status_code == 200, f"/healthz through it: {answer.status_code} {answer.text[:200]}")
        found = smoke.load(caller, rows=100)
    say.shown(f"through the load balancer: {found}")


def _caller(here: roles.Standing, name: str, port: int) -> httpx.Client:
    """The emulator tells its load balancers and their ports apart by the header Host."""
    trust = ssl.create_default_context(cafile=str(here.account.authority))
    headers = {"Host": f"{name}:{port}", "X-API-Key": here.shared["API_KEY"]}
    return httpx.Client(base_url=here.account.url, headers=headers, verify=trust, timeout=60.0)
