"""docs/logs.md is what the code logs; a line that it could not tell of is an error with its place."""

import pathlib

import pytest

from docs import actions


def test_the_page_is_what_the_code_logs() -> None:
    assert actions.PAGE.read_text(encoding="utf-8") == actions.page(actions.lines()), "`make logs-file` makes it anew"


def test_an_action_has_one_row_with_all_its_levels_places_and_fields(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.py").write_text(
        "import structlog\n"
        "log = structlog.get_logger()\n"
        "def f():\n"
        "    words = 'It | broke.'\n"
        "    log.warning(words, action='broken', task_id=1)\n"
        "    log.exception('It broke inside.', action='broken', exc_info=True)\n"
    )

    row = actions.page(actions.lines(tmp_path)).splitlines()[-1]

    assert row == r"| `broken` | warning, error | It \| broke. / It broke inside. | `task_id` | `a` |"


@pytest.mark.parametrize(
    "line",
    [
        "log.info('It is so.')",
        "log.info('It is so.', action=name)",
        "log.info(f'It is {name}.', action='so')",
        "log.info(name, action='so')",
        "log.bind(task_id=name).info('It is so.', action='so')",
        "logger = structlog.get_logger()",
        "structlog.get_logger().info('It is so.', action='so')",
    ],
)
def test_a_line_that_could_not_be_listed_is_named(tmp_path: pathlib.Path, line: str) -> None:
    (tmp_path / "a.py").write_text(f"import structlog\nlog = structlog.get_logger()\ndef f(name):\n    {line}\n")

    with pytest.raises(actions.Unlisted, match="a:4"):
        actions.lines(tmp_path)
