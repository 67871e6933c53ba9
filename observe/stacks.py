"""The parts of deploy/stacks that are made of these definitions: alarms, dashboards, the agent's configuration.

Each stands in its stack between two lines that say so. Names and metrics are those of one line, by its parameter Name.
"""

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from observe import alarms, cloudwatch, dashboards, scaling

ROOT: Final = pathlib.Path(__file__).resolve().parent.parent
BEGIN: Final = "  # ---- made by `make observe-files`: begin\n"
END: Final = "  # ---- made by `make observe-files`: end\n"
NAMESPACE: Final = f"{cloudwatch.NAMESPACE}/${{Name}}"
SCRAPED: Final = "deploy/observe/cloudwatch-prometheus.yaml"
# Where no agent brings the metrics there is nothing to look at.
CONDITION: Final = "HasAgent"
# Of a resource and its properties there is a line each.
_DEEP: Final = 3
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z:]*")


def made() -> dict[str, str]:
    """Each template that has such a part, whole."""
    parts = {"observe": _observed(), "production": _scaled(), "agent": _agent()}
    found = {}
    for name, part in parts.items():
        place = f"deploy/stacks/{name}.yml"
        found[place] = filled((ROOT / place).read_text(encoding="utf-8"), part)
    return found


def filled(text: str, part: dict[str, Any]) -> str:
    """A template with its part made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"The template has no lines {BEGIN.strip()!r} and {END.strip()!r}.")
    return f"{before}{begin}{''.join(_lines(part, 1))}{end}{after}"


def _lines(part: dict[str, Any], depth: int) -> Iterator[str]:
    """Resources as YAML: what lies deep, or in a list, is a line of JSON each. CloudFormation takes no aliases."""
    indent = "  " * depth
    for key, value in part.items():
        if isinstance(value, dict) and depth < _DEEP:
            yield f"{indent}{key}:\n"
            yield from _lines(value, depth + 1)
        elif isinstance(value, list):
            yield f"{indent}{key}:\n"
            yield from (f"{indent}  - {_json(each)}\n" for each in value)
        else:
            yield f"{indent}{key}: {value if _PLAIN.fullmatch(str(value)) else _json(value)}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _observed() -> dict[str, Any]:
    told = [{"Ref": "Topic"}]
    found: dict[str, Any] = {each.name: {**_alarm(each, told), "Condition": CONDITION} for each in alarms.ALL}
    for each in dashboards.ALL:
        body = json.loads(cloudwatch.dashboard(each, NAMESPACE))
        for widget in body["widgets"]:
            if "region" in widget["properties"]:
                widget["properties"]["region"] = "${AWS::Region}"
        found[f"{each.name.title()}Dashboard"] = {
            "Type": "AWS::CloudWatch::Dashboard",
            "Condition": CONDITION,
            "Properties": {
                "DashboardName": {"Fn::Sub": f"${{Name}}-{each.name}"},
                "DashboardBody": {"Fn::Sub": _kept(json.dumps(body, ensure_ascii=False, separators=(",", ":")))},
            },
        }
    return found


def _scaled() -> dict[str, Any]:
    added = _alarm(scaling.WANTED, [{"Ref": "MoreEmbedders"}])
    taken = _alarm(scaling.IDLE, [{"Ref": "FewerEmbedders"}])
    for each, alarm in ((added, scaling.WANTED), (taken, scaling.IDLE)):
        del each["Properties"]["OKActions"]
        each["Properties"]["AlarmDescription"] = f"{alarm.words} docs/operating.md"
    taken["Properties"]["TreatMissingData"] = "missing"  # who sees nothing takes nobody away
    return {scaling.WANTED.name: added, scaling.IDLE.name: taken}


def _agent() -> dict[str, Any]:
    """The agent's task, which is told its two configurations as variables."""
    agent = json.loads(cloudwatch.agent(NAMESPACE))
    prometheus = agent["logs"]["metrics_collected"]["prometheus"]
    prometheus |= {"log_group_name": "/${Name}/prometheus", "prometheus_config_path": "env:PROMETHEUS_CONFIG_CONTENT"}
    scraped = yaml.safe_load((ROOT / SCRAPED).read_text(encoding="utf-8"))
    for job in scraped["scrape_configs"]:
        for names in job["dns_sd_configs"]:
            names["names"] = [f"{each}.${{Name}}.internal" for each in names["names"]]
    told = {"CW_CONFIG_CONTENT": agent, "PROMETHEUS_CONFIG_CONTENT": scraped}
    logs = {
        "awslogs-group": {"Fn::Sub": "/${Name}/host"},
        "awslogs-region": {"Ref": "AWS::Region"},
        "awslogs-stream-prefix": "agent",
        "mode": "non-blocking",
        "max-buffer-size": "4m",
    }
    container = {
        "Name": "agent",
        "Image": {"Ref": "AgentImage"},
        "Essential": True,
        "LinuxParameters": {"InitProcessEnabled": True, "Capabilities": {"Drop": ["ALL"]}},
        "StopTimeout": 10,
        "LogConfiguration": {"LogDriver": "awslogs", "Options": logs},
        "Environment": [{"Name": name, "Value": {"Fn::Sub": _kept(json.dumps(each))}} for name, each in told.items()],
    }
    return {
        "AgentTask": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {
                "Family": {"Fn::Sub": "${Name}-agent"},
                "RequiresCompatibilities": ["EC2"],
                "NetworkMode": "awsvpc",
                "Cpu": "256",
                "Memory": "512",
                "TaskRoleArn": {"Fn::ImportValue": {"Fn::Sub": "${Name}-AgentRole"}},
                "ExecutionRoleArn": {"Fn::ImportValue": {"Fn::Sub": "${Name}-StartRole"}},
                "ContainerDefinitions": [container],
            },
        }
    }


def _alarm(alarm: alarms.Alarm, actions: list[Any]) -> dict[str, Any]:
    found = cloudwatch.alarm(alarm, {"Fn::Sub": NAMESPACE})
    found["Properties"] |= {
        "AlarmName": {"Fn::Sub": f"${{Name}}-{alarm.name}"},
        "AlarmActions": actions,
        "OKActions": actions,
    }
    return found


def _kept(text: str) -> str:
    """What Fn::Sub is to leave alone: CloudWatch has `${…}` of its own."""
    return re.sub(r"\$\{(?!(?:Name|AWS::Region)\})", "${!", text)
