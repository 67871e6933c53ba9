"""A text built from columns: ``{title}. {description}``."""

import dataclasses
from collections.abc import Callable, Sequence

TEMPLATE_BYTES = 16_384


# From a row's cells to its text.
Render = Callable[[Sequence[str]], str]


class TemplateError(ValueError):
    """The template's syntax is wrong; the message says where and how."""


@dataclasses.dataclass(frozen=True)
class Template:
    """A parsed template: ``literals`` has one entry more than ``columns`` and stands around them.

    A column's name is everything between the braces, blanks included; ``{{`` and ``}}`` are braces in the text.
    """

    literals: tuple[str, ...]
    columns: tuple[str, ...]

    def render(self, columns: Sequence[str]) -> Render:
        """Return a function from a row's cells to its text, which is "" where all its columns are blank.

        Raises:
            KeyError: A column of the template is not among ``columns``; its argument is the name.
        """
        positions = {name: position for position, name in reversed(list(enumerate(columns)))}
        head, pairs = self.literals[0], list[tuple[int, str]]()
        for column, literal in zip(self.columns, self.literals[1:], strict=True):
            if column not in positions:
                raise KeyError(column)
            pairs.append((positions[column], literal))

        def text(cells: Sequence[str]) -> str:
            for position, _ in pairs:
                if cells[position] and not cells[position].isspace():
                    return head + "".join([cells[position] + literal for position, literal in pairs])
            return ""

        return text


def parse(source: str) -> Template:
    """Parse a template.

    Raises:
        TemplateError: Unmatched braces, an empty name, no column at all, or over 16,384 bytes.
    """
    if len(source.encode("utf-8", "surrogatepass")) > TEMPLATE_BYTES:
        raise TemplateError(f"is longer than {TEMPLATE_BYTES:,} bytes")
    literals, columns, literal, position = [], [], "", 0
    while position < len(source):
        char = source[position]
        if source[position : position + 2] in ("{{", "}}"):
            literal += char
            position += 2
        elif char == "}":
            raise TemplateError(f"has a '}}' without '{{' at character {position + 1}; write '}}}}' for a brace")
        elif char == "{":
            name, position = _name(source, position + 1)
            columns.append(name)
            literals.append(literal)
            literal = ""
        else:
            literal += char
            position += 1
    if not columns:
        raise TemplateError("names no column; write names in braces, e.g. {title}. {description}")
    return Template((*literals, literal), tuple(columns))


def _name(source: str, start: int) -> tuple[str, int]:
    end = source.find("}", start)
    name = source[start:end] if end >= 0 else ""
    if end < 0 or "{" in name:
        raise TemplateError(f"has a '{{' without '}}' at character {start}; write '{{{{' for a brace")
    if not name.strip():
        raise TemplateError(f"has an empty column name at character {start}")
    return name.strip(), end + 1
