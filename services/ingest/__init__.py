"""Takes sources and makes chunks of them.

The rooms, in the order in which a load passes them:

request     what is asked: options with their defaults, templates
sources     where bytes are: S3, the local folder, uploads, exports of Metabase
reading     bytes become rows: gzip, encoding, dialect, the header
contract    a row becomes usable, or a reject with a reason
planning    one pass over the whole source: what is wrong with all of it, and the plan
splitting   pinned source and plan make chunks
driving     a task, from wherever it stands to its last chunk
jobs        tasks that are no loads: they look at the index
estimating  what a task would come to, without one
rejects     the rows that were not used, exported

A room imports those before it and none behind (pyproject.toml, contract "ingest"). The doors: ``__main__`` starts,
``app`` wires, ``settings`` says what is told, ``servicer`` takes RPCs in and hands the domain out.
"""
