"""Puts `vectorline_messages` into what is built, compiled from the repository's protos.

Generated code is not committed. In the repository ``protos/client.py`` compiles it, into ``build`` beside this file; a
source distribution has it in ``messages`` already, so that what is made of one needs neither protos nor protoc.
"""

import pathlib
import subprocess
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "vectorline_messages"
SHIPPED = "messages"  # where a source distribution has it


class Hook(BuildHookInterface):  # type: ignore[type-arg]
    """The hook that hatchling finds in this file."""

    @property
    def _compiler(self) -> pathlib.Path:
        return pathlib.Path(self.root).parent.parent / "protos" / "client.py"

    def dependencies(self) -> list[str]:
        """What this build needs besides hatchling."""
        return ["grpcio-tools", "googleapis-common-protos"] if self._compiler.exists() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile it, if there are protos, and have it included."""
        built = pathlib.Path(self.root) / SHIPPED / PACKAGE
        if self._compiler.exists():
            built = pathlib.Path(self.root) / "build" / PACKAGE
            subprocess.run([sys.executable, str(self._compiler), str(built.parent)], check=True)
        if version != "editable":  # there `build` itself is on the path
            inside = f"{SHIPPED}/{PACKAGE}" if self.target_name == "sdist" else PACKAGE
            build_data["force_include"][str(built)] = inside
