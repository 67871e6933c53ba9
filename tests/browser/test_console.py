"""The console in a browser, over a whole line."""

import csv
import gzip
import json
import pathlib
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import conftest
from tests.support import browser as browsers
from tests.support import csvs, proxy
from tests.support.browser import overflow, shot
from tests.support.line import Line

# The first starts the line, and installs the browser where it is missing.
pytestmark = pytest.mark.timeout(600)
expect.set_options(timeout=30_000)
DESK, HAND = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HOSTILE = "\u202egpj.<img src=x onerror=alert(1)>" + "x" * 900 + ".csv"


def csv_of(good: int, empty: int = 0) -> bytes:
    rows = [(str(n), f"A bicycle of kind {n} for the mountains", str(n * 10), "true") for n in range(good)]
    rows += [(f"e{n}", "", "1", "false") for n in range(empty)]
    return csvs.of(rows, header=("id", "formatted_text", "price", "stocked"))


def enter(page: Page, line: Line, secret: str = "", where: str = "#/") -> None:
    page.goto(f"{line.endpoints['GATEWAY_URL']}/{where}")
    page.get_by_label("API key").fill(secret or line.endpoints["API_KEY"])
    page.get_by_role("button", name="Enter").click()


@pytest.fixture
def page(browser: Browser, line: Line) -> Iterator[Page]:
    """The console at its tasks, entered with the admin's key."""
    with browsers.page(browser) as page:
        enter(page, line)
        expect(page.get_by_role("heading", name="Needs you")).to_be_visible()
        yield page


def go(page: Page, where: str) -> None:
    page.evaluate("where => { location.hash = where }", where)


def test_a_wrong_key_is_refused_in_words_and_a_good_one_stays_in_this_tab_only(browser: Browser, line: Line) -> None:
    with browsers.page(browser) as page:
        enter(page, line, "not-a-key")
        expect(page.get_by_role("alert")).to_contain_text("Missing or wrong API key")
        shot(page, "refused")
        page.get_by_label("API key").fill(line.endpoints["API_KEY"])
        page.keyboard.press("Enter")
        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        page.reload()
        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        assert page.evaluate("[localStorage.length, document.cookie, location.href.includes('vl_')]") == [0, "", False]
        other = page.context.new_page()
        other.goto(page.url)
        expect(other.get_by_label("API key")).to_be_visible()
        page.get_by_role("button", name="Leave").click()
        expect(page.get_by_label("API key")).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0


def test_a_file_becomes_an_estimate_a_task_rejects_and_results(page: Page, line: Line, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "bikes.csv.gz"
    file.write_bytes(gzip.compress(csv_of(40, empty=3)))
    page.get_by_role("link", name="Load", exact=True).click()
    page.locator("#file").set_input_files(file)
    page.get_by_label("Namespace").fill("bicycles-\u00e4")
    page.get_by_label("Question", exact=True).fill("7x")
    expect(page.get_by_text("A whole number, 0 or more.")).to_be_visible()
    page.get_by_label("Question", exact=True).fill("7")
    # In the API's own words, before anything is sent.
    expect(page.locator("#option-namespace-hint.problem")).to_contain_text("printable ASCII")
    page.get_by_label("Namespace").fill("shop-1")
    expect(page.locator("#option-namespace-hint.problem")).to_have_count(0)
    page.get_by_role("button", name="Estimate").click()
    estimate = page.locator("vl-estimate")
    expect(estimate).to_contain_text(re.compile(r"43\s*rows.*40\s*to embed.*3\s*rejected", re.DOTALL))
    expect(estimate).to_contain_text("$")
    expect(estimate).to_contain_text("empty_text")
    expect(estimate.locator(".first > li")).to_have_count(5)
    price = estimate.locator(".first > li").nth(1).locator(".metadata div").filter(has=page.get_by_text("price"))
    expect(price).to_have_text("price10 (number)")
    shot(page, "estimate")
    page.get_by_role("button", name="Run").click()

    expect(page.locator(".status.big")).to_have_text("Partly completed", timeout=60_000)
    terms = [int(re.sub(r"\D", "", term)) for term in page.locator(".sum dd").all_inner_texts()]
    assert (terms[0], sum(terms[1:])) == (43, 43)
    expect(page.locator(".strip i")).to_have_count(1)
    page.get_by_role("button", name="empty_text").click()
    expect(page.locator(".rejects tbody tr")).to_have_count(3)
    shot(page, "task")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download CSV").click()
    with open(saved.value.path(), encoding="utf-8", newline="") as rejects:
        assert [row["reason"] for row in csv.DictReader(rejects)] == ["empty_text"] * 3
    page.get_by_role("button", name="Python").click()
    assert line.endpoints["API_KEY"] not in page.content()

    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_label("Text", exact=True).fill("a bicycle for mountains")
    page.get_by_label("Namespace").fill("shop-1")
    page.keyboard.press("Enter")
    expect(page.locator(".matches > li")).to_have_count(10)
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_label("Column", exact=True).select_option("price")
    page.get_by_label("Comparison").select_option("$lt")
    page.get_by_label("Value").fill("50")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".matches > li")).to_have_count(5)
    assert '"filter":{"price":{"$lt":50}}' in str(page.locator(".query").text_content())
    shot(page, "search")
    page.reload()
    expect(page.locator(".matches > li")).to_have_count(5)


def test_what_failed_waits_for_a_person_until_it_is_mended(page: Page, line: Line) -> None:
    task = line.process(data_source="s3_csv", s3_key="late/march.csv", question_id=11)
    needs = page.locator("vl-needs li", has_text="late/march.csv")
    expect(needs).to_contain_text("does not exist")
    shot(page, "needs")
    line.put("late/march.csv", csv_of(5))
    needs.get_by_role("button", name="Load again").click()
    expect(needs).to_have_count(0)
    assert line.task(task)["status"] == "failed"
    row = page.locator(".tasks > li", has_text="late/march.csv").filter(has_text="Completed")
    expect(row).to_have_count(1)


def test_a_held_mirror_is_looked_at_and_what_was_seen_is_confirmed(page: Page, line: Line) -> None:
    space, file = "mirrored", "catalogue.csv"
    line.finished(line.upload(csv_of(10), name=file, question_id=81, namespace=space))
    task = line.upload(csv_of(2), name=file, question_id=81, namespace=space, mode="mirror")
    needs = page.locator("vl-needs li", has_text=file)
    expect(needs).to_contain_text("8 of 10 ids are not in the file")
    shot(page, "held")
    # The first press shows what goes, on the task's own page the ids of it are told; nothing is deleted yet.
    needs.get_by_role("button", name=f"Look and confirm: {file}").click()
    expect(needs.get_by_role("button", name=f"Remove 8 vectors of 10: {file}")).to_be_visible()
    needs.get_by_role("link", name=file).click()
    expect(page.locator(".status.big")).to_have_text("Blocked")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download the ids of 8 vectors").click()
    with open(saved.value.path(), encoding="utf-8", newline="") as gone:
        assert {row["vector_id"] for row in csv.DictReader(gone)} == {f"81.{number}" for number in range(2, 10)}
    assert len(line.index(space)) == 10
    checksum = line.task(task)["held"]["checksum"]

    with page.expect_request(f"**/api/v1/task/{task}/confirm") as sent:
        page.get_by_role("button", name="Remove 8 vectors of 10").click()
    assert sent.value.post_data_json == {"checksum": checksum}
    expect(page.locator(".status.big")).to_have_text("Completed", timeout=60_000)
    expect(page.locator(".counts")).to_contain_text("8 vectors removed")
    shot(page, "removed")
    assert line.index(space).keys() == {"81.0", "81.1"}
    page.get_by_role("link", name="Tasks", exact=True).first.click()
    expect(page.locator("vl-needs li", has_text=file)).to_have_count(0)


def test_filters_and_page_are_in_the_address_and_counts_are_of_the_filter(page: Page, line: Line) -> None:
    for number in range(3):
        line.finished(line.upload(csv_of(2), name=f"filter-{number}.csv", question_id=20 + number, namespace="filters"))
    page.get_by_label("Namespace").fill("filters")
    expect(page.locator(".tasks > li.task")).to_have_count(3)
    expect(page.get_by_role("link", name=re.compile(r"^Completed"))).to_have_text("Completed3")
    expect(page.get_by_role("link", name=re.compile(r"^Failed"))).to_have_text("Failed0")
    page.get_by_label("Question").fill("21")
    expect(page.locator(".tasks > li.task")).to_have_count(1)
    assert "namespace=filters&question=21" in page.url
    page.reload()
    expect(page.locator(".tasks > li.task")).to_have_text(re.compile("filter-1.csv"))
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_label("Namespace")).to_have_value("")
    go(page, "#/?status=nonsense")
    expect(page.get_by_role("alert")).to_contain_text("status")


def test_a_selection_is_retried_after_what_would_come_of_it_is_said(page: Page, line: Line) -> None:
    namespace = f"again-{uuid.uuid4().hex[:8]}"
    for question, empty in ((61, 2), (62, 0)):
        rows = csv_of(3, empty=empty)
        line.finished(line.upload(rows, name=f"again-{empty}.csv", question_id=question, namespace=namespace))
    go(page, f"#/?namespace={namespace}")
    expect(page.locator(".tasks > li.task")).to_have_count(2)
    for box in page.get_by_role("checkbox", name="Choose again-").all():
        box.check()
    page.get_by_role("button", name="Retry …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("0 tasks would be tried again")
    expect(dialog).to_contain_text("NOTHING_TO_RETRY")
    expect(dialog).to_contain_text("1 task without anything to try again")
    expect(dialog.get_by_role("button", name="Retry 0 tasks")).to_be_disabled()
    dialog.get_by_role("checkbox").check()
    expect(dialog).to_contain_text("1 task would be tried again, over 2 rejected rows")
    shot(page, "retry")
    assert page.locator(".tasks > li.task").count() == 2  # nothing was done yet
    dialog.get_by_role("button", name="Retry 1 task").click()
    expect(dialog).to_contain_text("1 task tried again.")
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator(".tasks > li.task")).to_have_count(3)
    expect(page.locator(".chosen")).to_have_count(0)
    page.locator(".tasks > li.task a").first.click()
    expect(page.get_by_text("It tries rejected rows of")).to_be_visible()


def test_a_lost_connection_is_said_and_heals(browser: Browser, line: Line) -> None:
    between = proxy.Proxy(int(line.endpoints["GATEWAY_URL"].rpartition(":")[2]))
    try:
        with browser.new_context(viewport=DESK) as context:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{between.port}/")
            page.get_by_label("API key").fill(line.endpoints["API_KEY"])
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="Needs you")).to_be_visible()
            expect(page.get_by_text("Read at")).to_be_visible()
            with between.toxic(proxy.Kind.RESET):
                lost = page.get_by_role("alert").filter(has_text="does not answer")
                expect(lost).to_be_visible()
                lost.get_by_role("button", name="Ask now").click()
                shot(page, "lost")
                line.upload(csv_of(3), name="while-away.csv", question_id=31)
            expect(lost).to_have_count(0)
            expect(page.locator(".tasks > li", has_text="while-away.csv")).to_have_count(1)
    finally:
        between.close()


def test_a_key_that_is_taken_away_is_asked_for_again(browser: Browser, line: Line) -> None:
    file = line.folder.parent / "keys.json"
    whole = file.read_text()
    with browsers.page(browser) as page:
        enter(page, line, "leaver-secret")
        expect(page.get_by_text("leaver")).to_be_visible()
        try:
            file.write_text(json.dumps([each for each in conftest.KEYS if each["id"] != "leaver"]))
            go(page, "#/line")
            expect(page.get_by_role("alert")).to_contain_text("The key is not taken any more")
            assert page.evaluate("sessionStorage.length") == 0
        finally:
            file.write_text(whole)


def test_a_key_sees_what_it_may(browser: Browser, line: Line) -> None:
    with browsers.page(browser) as page:
        enter(page, line, "reader-secret")
        pages = page.get_by_role("navigation", name="Pages").get_by_role("link")
        expect(pages).to_have_text(["Tasks", "Search", "Line"])
        expect(page.locator(".tasks > li")).to_have_count(0)
        go(page, "#/load")
        expect(page.get_by_role("heading", name="Not for this key")).to_be_visible()
    with browsers.page(browser) as page:
        enter(page, line, "loader-secret")
        expect(pages_of(page)).to_have_text(["Load"])
        expect(page.get_by_role("heading", name="Load", exact=True)).to_be_visible()
    with browsers.page(browser) as page:
        enter(page, line, "shop-secret", "#/load")
        expect(page.get_by_text("namespaces: shop-1; questions: 7")).to_be_visible()
        page.get_by_label("Question", exact=True).fill("7")
        page.get_by_label("Namespace").fill("v2")
        expect(page.get_by_text("This key may not use it.")).to_be_visible()
        shot(page, "few-rights")


def pages_of(page: Page) -> Any:
    return page.get_by_role("navigation", name="Pages").get_by_role("link")


def test_names_and_texts_of_strangers_stay_text_and_break_nothing(browser: Browser, line: Line) -> None:
    file = csvs.of(
        [("1", "<b>bold</b> \u202eevil " + "y" * 2_000, "<script>alert(1)</script>")],
        header=("id", "formatted_text", "<i>name"),
    )
    task = line.upload(file, name=HOSTILE, question_id=41, namespace="shop-9", sanitizer="none")
    line.finished(task)
    strange = "main img, main script, main b"
    for size, scheme in ((DESK, "light"), (HAND, "dark")):
        with browsers.page(browser, viewport=size, color_scheme=scheme) as page:
            enter(page, line)
            row = page.locator(".tasks > li", has_text="⟨U+202E⟩gpj.<img src=x")
            expect(row).to_have_count(1)
            assert (overflow(page), page.locator(strange).count()) == (0, 0)
            go(page, f"#/task/{task}")
            expect(page.get_by_role("heading", level=1)).to_contain_text("⟨U+202E⟩gpj")
            assert (overflow(page), page.locator(strange).count()) == (0, 0)
            shot(page, f"hostile-{size['width']}-{scheme}")
            go(page, "#/search?text=bold&namespace=shop-9")
            expect(page.locator(".matches > li")).to_contain_text("<b>bold</b>")
            assert overflow(page) == 0


PAGES = {"tasks": "#/", "load": "#/load", "search": "#/search?text=bicycle&namespace=axe", "line": "#/line"}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_and_nothing_is_cut_off(browser: Browser, line: Line, width: int, scheme: Any) -> None:
    task = line.upload(csv_of(12, empty=2), name="axe.csv", question_id=51, namespace="axe")
    line.finished(task)
    with browsers.page(browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        enter(page, line)
        for name, where in {**PAGES, "task": f"#/task/{task}", "nothing": "#/nowhere"}.items():
            go(page, where)
            expect(page.locator("main > *").first).to_be_visible()
            expect(page.locator("main")).not_to_contain_text(re.compile("Reading|Looking through|Searching"))
            for details in page.locator("details").all():
                details.evaluate("node => { node.open = true }")
            found = Axe().run(page)
            assert found.violations_count == 0, f"{name}: {found.generate_report()}"
            assert overflow(page) == 0, name
            shot(page, f"{name}-{width}-{scheme}")


def test_all_of_it_works_by_keyboard_and_without_motion_at_200_percent(browser: Browser, line: Line) -> None:
    line.finished(line.upload(csv_of(3), name="keys.csv", question_id=71, namespace="keys"))
    with browsers.page(browser, viewport={"width": 640, "height": 450}, reduced_motion="reduce") as page:
        page.goto(line.endpoints["GATEWAY_URL"])
        expect(page.get_by_label("API key")).to_be_focused()
        page.keyboard.type(line.endpoints["API_KEY"])
        page.keyboard.press("Enter")
        expect(page.locator(".tasks > li.task").first).to_be_visible()
        assert overflow(page) == 0
        focus = "document.activeElement.innerText || document.activeElement.id"
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Tab")
        assert page.evaluate(focus) == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.locator(".tasks .pick input").first.focus()
        page.keyboard.press("Space")
        page.get_by_role("button", name="Cancel …").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.locator(".tasks .source a").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator(".sum")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.querySelector('.piece')).transitionDuration") == "0s"


def test_each_file_is_served_under_a_strict_policy_and_shadows_no_path(line: Line) -> None:
    front = line.rest.get("/", headers={"x-api-key": ""})
    assert front.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "require-trusted-types-for 'script'"
    )
    files = re.findall(r"\./(console/[0-9a-f]+/[\w.]+)", front.text)
    assert len(files) == 4
    for file in files:
        answer = line.rest.get(f"/{file}", headers={"x-api-key": ""})
        assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
        assert answer.headers["content-security-policy"] == front.headers["content-security-policy"]
    assert line.rest.head("/").status_code == 200
    assert line.rest.post("/").status_code == 405
    for path in ("/console/0/app.js", "/index.html", "/console/", "/tasks"):
        assert line.rest.get(path).status_code == 404, path
    assert line.rest.get("/api/v1/tasks", headers={"x-api-key": ""}).status_code == 401
    assert line.rest.get("/api/v1/docs").status_code == 200
