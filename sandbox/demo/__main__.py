"""``python -m sandbox.demo``: needs a line that is up (`make up`)."""

from __future__ import annotations

import sys

from sandbox.demo import demo

if __name__ == "__main__":
    sys.exit(demo.main())
