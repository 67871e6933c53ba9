"""Whether a line is healthy, in the predecessor's words: what its scripts read and their exit codes."""

from typing import Any, Final

import httpx

PATH: Final = "/api/v1/health"
SECONDS: Final = 10.0


def look(caller: httpx.Client) -> tuple[bool, str]:
    """Whether the line is healthy, and lines for people: the first one is `healthy`, `degraded` or `unhealthy`."""
    try:
        answer = caller.get(PATH, timeout=SECONDS)
        about: dict[str, Any] = answer.json()
        word = str(about["status"])
    except httpx.HTTPError as error:
        return False, f"unhealthy\n{caller.base_url} cannot be reached: {type(error).__name__} {error}"
    except (ValueError, KeyError, TypeError):
        return False, f"unhealthy\n{PATH} was answered {answer.status_code} without a status: {answer.text[:200]}"
    lines = [word, f"version {about.get('version', '?')} in {about.get('environment', '?')}"]
    workers: dict[str, Any] = about.get("workers", {})
    lines.append("workers: " + ", ".join(f"{value} {name}" for name, value in workers.items()))
    lines += [f"{name}: {told}" for name, told in about.get("services", {}).items()]
    return word == "healthy" and answer.status_code == 200, "\n".join(lines)
