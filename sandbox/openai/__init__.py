"""An OpenAI-compatible embeddings server for machines that have no OpenAI account.

Start it with ``python -m sandbox.openai``; ``README.md`` beside this file says how other projects use it.
"""
