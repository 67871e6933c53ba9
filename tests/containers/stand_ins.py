"""What the stand-in of Pinecone holds, asked from within its container: its port is not published."""

import json
from typing import Any

from tests.containers import project

ASK = """
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1]).read().decode())
"""


def index(where: project.Project, namespace: str) -> dict[str, dict[str, Any]]:
    """What Pinecone holds in a namespace: id to the hash of its vector, and metadata."""
    name = where.told["PINECONE_INDEX_NAME"]
    url = f"http://127.0.0.1:9002/_sandbox/dump?index={name}&namespace={namespace}"
    said = where.python("pinecone", ASK, url)
    return {each["id"]: each for each in map(json.loads, said.splitlines())}
