"""What the objects of rejected rows are called. An outcome keeps the token alone: a shard has 256 of them."""


def key(token: str, task_key: str, chunk: int) -> str:
    """The key of an object. Of outcomes of earlier versions the token is all of it."""
    return token if "/" in token else f"rejects/{task_key}/{chunk}-{token}.jsonl"


def token(name: str, task_key: str, chunk: int) -> str:
    """What of an object's key does not follow from its task and chunk."""
    start, end = f"rejects/{task_key}/{chunk}-", ".jsonl"
    return name[len(start) : -len(end)] if name.startswith(start) and name.endswith(end) else name
