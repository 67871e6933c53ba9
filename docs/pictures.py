"""Makes docs/pictures: the console of a real line, with files of all kinds in it. ``make pictures``.

It needs Chromium, as the console's tests do. A line of its own is started with the stand-ins, filled, looked at and
stopped; the pictures are drawn anew in a palette of their own colours, so that each is some ten KB.
"""

import io
import pathlib
import sys
import tempfile
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT))

from PIL import Image, ImageChops  # noqa: E402 (the repository is on the path only now)
from playwright import sync_api  # noqa: E402

from sandbox.demo import sample  # noqa: E402
from tests.support import browser as browsers  # noqa: E402
from tests.support import line as lines  # noqa: E402

DESK = {"width": 1280, "height": 860}
HAND = {"width": 390, "height": 844}
# The most frequent ones are kept as they are, others become the nearest of them.
COLOURS = 128
MARGIN = 24  # pixels below the last thing to be seen
# Such a quota takes half a minute for the large file, which is to be seen while it is loaded.
SETTINGS = {"OPENAI_RATE_LIMIT": "1"}
CATALOGUE_ROWS, LARGE_ROWS = 5_000, 60_000
BIKES = b"""id,formatted_text,price,colour
1,"A red bicycle for children, with stabilisers",120,red
2,"A blue mountain bike with 21 gears",640,blue
3,"A helmet that fits adults",35,black
,"A bell without an id",15,green
3,"The same id again",36,black
"""
CHAIRS = b"id,formatted_text\n" + b"".join(b"%d,A chair of oak number %d\n" % (each, each) for each in range(1, 801))
PRICES = b"sku,price\nA1,3\nA2,4\n"


def main() -> None:
    """Make them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vectorline-pictures-") as folder:
        place = pathlib.Path(folder)
        with lines.running(place / "line", **SETTINGS) as line, browsers.running() as browser:
            catalogue = _fill(line)
            with browsers.page(browser, viewport=DESK) as page:
                _enter(page, line)
                _tasks(page, line)
                _task(page, catalogue)
                _estimate(page, place)
                _search(page)
                _line(page)
            with browsers.page(browser, viewport=HAND, color_scheme="dark") as page:
                _enter(page, line)
                _keep(page, "hand")


def _fill(line: lines.Line) -> str:
    """A day's work; answers the catalogue's task."""
    catalogue = line.upload(_catalogue(CATALOGUE_ROWS), "catalogue.csv", question_id=232, namespace="shop")
    line.finished(line.upload(BIKES, "bikes.csv", question_id=900, namespace="tutorial"))
    line.finished(line.upload(CHAIRS, "chairs.csv", question_id=15, namespace="shop"))
    line.finished(line.upload(PRICES, "prices.csv", question_id=14, namespace="shop"))
    line.finished(line.process(data_source="s3_csv", s3_key="exports/march.csv", question_id=11, namespace="shop"))
    line.finished(catalogue)
    return catalogue


def _catalogue(rows: int) -> bytes:
    return b"".join(sample.blocks(rows))


def _enter(page: sync_api.Page, line: lines.Line) -> None:
    page.goto(f"{line.endpoints['GATEWAY_URL']}/")
    page.get_by_label("API key").fill(line.endpoints["API_KEY"])
    page.get_by_role("button", name="Enter").click()
    page.locator(".tasks > li.task").first.wait_for()


def _tasks(page: sync_api.Page, line: lines.Line) -> None:
    large = line.upload(_catalogue(LARGE_ROWS), "catalogue-2027.csv", question_id=233, namespace="shop-2027")
    moving = page.locator(".tasks > li", has_text="catalogue-2027.csv").locator(".pace", has_text="left")
    moving.wait_for(timeout=60_000)
    _keep(page, "tasks")
    line.finished(large, seconds=400.0)


def _task(page: sync_api.Page, task_id: str) -> None:
    _go(page, f"#/task/{task_id}")
    page.get_by_role("button", name="empty_text").click()
    page.locator(".rejects tbody tr").first.wait_for()
    _keep(page, "task")


def _estimate(page: sync_api.Page, folder: pathlib.Path) -> None:
    file = folder / "bikes.csv"
    file.write_bytes(BIKES)
    _go(page, "#/load")
    page.locator("#file").set_input_files(file)
    page.get_by_label("Namespace").fill("tutorial")
    page.get_by_label("Question", exact=True).fill("900")
    page.get_by_role("button", name="Estimate").click()
    page.locator("vl-estimate .first > li").first.wait_for()
    page.locator("vl-estimate").scroll_into_view_if_needed()
    _keep(page, "estimate")


def _search(page: sync_api.Page) -> None:
    _go(page, "#/search")
    page.get_by_label("Text", exact=True).fill("something for a child to ride")
    page.get_by_label("Namespace").fill("tutorial")
    page.keyboard.press("Enter")
    page.locator(".matches > li").first.wait_for()
    _keep(page, "search")


def _line(page: sync_api.Page) -> None:
    _go(page, "#/line")
    page.get_by_role("heading", name="embedder", exact=False).first.wait_for()
    _keep(page, "line")


def _go(page: sync_api.Page, where: str) -> None:
    page.evaluate("where => { location.hash = where; scrollTo(0, 0) }", where)


def _keep(page: sync_api.Page, name: str) -> None:
    """What is seen, without what is empty below it, as a PNG of few colours."""
    seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    empty = Image.new("RGB", seen.size, seen.getpixel((0, 0)))
    _, _, _, bottom = ImageChops.difference(seen, empty).getbbox() or (0, 0, 0, seen.height)
    seen = seen.crop((0, 0, seen.width, min(seen.height, bottom + MARGIN)))
    counted: Any = seen.getcolors(seen.width * seen.height)  # how many, and which
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in sorted(counted, reverse=True)[:COLOURS] for part in colour])
    few = seen.quantize(palette=palette, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
