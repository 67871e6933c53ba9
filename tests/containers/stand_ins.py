"""What the stand-ins of OpenAI and Pinecone hold, asked from within their containers: their ports are not published."""

import json
from typing import Any

from tests.containers import project

ASK = """
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(urllib.request.Request(sys.argv[2], method=sys.argv[1])).read().decode())
"""


def index(where: project.Project, namespace: str) -> dict[str, dict[str, Any]]:
    """What Pinecone holds in a namespace: id to the hash of its vector, and metadata."""
    name = where.told["PINECONE_INDEX_NAME"]
    url = f"http://127.0.0.1:9002/_sandbox/dump?index={name}&namespace={namespace}"
    said = where.python("pinecone", ASK, "GET", url)
    return {each["id"]: each for each in map(json.loads, said.splitlines())}


def purchases(where: project.Project) -> dict[str, Any]:
    """What OpenAI sold since its process began, or since `forget`."""
    said = where.python("openai", ASK, "GET", "http://127.0.0.1:9001/_sandbox/requests?limit=0")
    found: dict[str, Any] = json.loads(said)["summary"]
    return found


def forget(where: project.Project) -> None:
    where.python("openai", ASK, "DELETE", "http://127.0.0.1:9001/_sandbox/requests")
