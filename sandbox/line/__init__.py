"""The whole line on this machine: ``python -m sandbox up | down | status | clean``.

``plan`` says what should run, as data; ``supervisor`` keeps exactly that running; ``commands`` is what people type.
"""
