"""The app in a real browser: open, filter, click, mark; and records that try to do harm."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mminf.marks import MarkFile, read_marks

from ..conftest import tiny_image
from .browser import CHROMIUM, needs_browser, served
from .conftest import Make, items

pytestmark = [pytest.mark.browser, needs_browser]

MARKUP = "<script>window.harm = 1</script><img src=x onerror='window.harm = 2'><b onmouseover='window.harm = 3'>"
EVIL = f"{MARKUP}</textarea></bdi>{{{{ 7 * 7 }}}}javascript:alert(1)\u202egnp.exe\u2066\x00\x1b[2J"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page; the test fails if it has an error, a dialog, or a violation of its policy."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    made = context.new_page()
    made.set_default_timeout(20_000)
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(f"error: {error}"))
    made.on("dialog", lambda dialog: (problems.append("dialog"), dialog.dismiss()))
    made.on("console", lambda message: "Content Security" in message.text and problems.append(message.text))
    made.on("request", lambda request: "127.0.0.1" in request.url or problems.append(f"request: {request.url}"))
    yield made
    context.close()
    assert problems == []


@pytest.fixture
def opened(page: Any) -> Iterator[Callable[..., Any]]:
    """A function that serves runs, and opens the page."""
    stack = []

    def made(*outputs: Path, fragment: str = "") -> Any:
        server = served(*outputs)
        url = server.__enter__()
        stack.append(server)
        page.goto(f"{url}{fragment}")
        page.locator("#funnel ol, #funnel p").first.wait_for()
        until(page, "!document.querySelector('#found').value.includes('searching')")
        return page

    yield made
    page.goto("about:blank")
    for server in stack:
        server.__exit__(None, None, None)


def until(page: Any, condition: str, argument: object = None) -> None:
    """Waits for a condition. Playwright's own waiting evaluates texts in the page, which its policy forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(condition, argument):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def found(page: Any, text: str) -> None:
    """Waits for the number of records that were found."""
    until(page, "text => document.querySelector('#found').value === text", text)


def names(page: Any) -> list[str]:
    return list(page.locator("#records .item .id").all_inner_texts())


def test_open_filter_click_mark(make_run: Make, opened: Callable[..., Any], tmp_path: Path) -> None:
    tiny_image(tmp_path / "a.png")
    out = make_run(*items(20, images=["a.png"]))
    page = opened(out)
    assert "token" not in page.url and page.evaluate("document.cookie") == "", "the cookie is not for scripts"
    assert page.locator("#state").inner_text().startswith("one: finished · 12 done, 8 dropped, 0 failed")
    assert page.locator("#funnel li").count() == 4
    found(page, "20 records")
    # filter
    page.locator("#text").fill("THING 1")
    found(page, "11 records")
    page.locator("#outcome").select_option("dropped")
    found(page, "4 records")
    page.locator(".range input").first.fill("2")
    found(page, "2 records")
    assert "score=clarity%3A2%3A" in page.url
    page.locator("#clear").click()
    found(page, "20 records")
    page.locator("#funnel button.dropped").click()
    found(page, "8 records")
    # click
    page.locator("#records .item").nth(1).click()
    record = names(page)[1]
    page.locator("#record .call").nth(1).wait_for()
    assert page.locator("#record h2").inner_text() == record
    assert "dropped at keep" in page.locator("#record .outcome").first.inner_text()
    until(page, "document.querySelector('#record .images img').naturalWidth > 0")
    prompt = page.locator("#record details.prompt").first
    assert prompt.get_attribute("open") is None and prompt.locator(".turn").count() == 0, "prompts are folded"
    prompt.locator("summary").click()
    prompt.locator(".turn", has_text="Ask").wait_for()
    # mark
    page.locator("#record .mark.good").click()
    page.locator("#record .note").fill("is „this“ right?")
    page.locator("#record .save").click()
    page.get_by_text("saved").wait_for()
    until(page, "document.querySelector('#state').innerText.includes('1 good, 0 bad, 1 with a note')")
    assert page.locator("#records .item[aria-current=true] .marked").inner_text() == "good ✎"
    assert read_marks(out / "marks.jsonl")[record][:2] == ("good", "is „this“ right?")
    page.reload()
    page.locator("#record .mark.good[aria-pressed=true]").wait_for()
    assert page.locator("#record .note").input_value() == "is „this“ right?"
    page.locator("#clear").click()
    page.locator("#mark").select_option("good")
    found(page, "1 record")
    page.locator("#record .mark.good").click()
    page.locator("#record .mark.good[aria-pressed=false]").wait_for()
    page.get_by_text("saved").wait_for()
    assert read_marks(out / "marks.jsonl")[record].mark is None


def test_keys(make_run: Make, opened: Callable[..., Any]) -> None:
    out = make_run(*items(5))
    page = opened(out)
    page.locator("body").press("j")
    page.locator("#record h2", has_text="r000").wait_for()
    page.locator("body").press("j")
    page.locator("#record h2", has_text="r001").wait_for()
    page.locator("#record .mark.bad").wait_for()
    page.locator("#record .call").nth(1).wait_for()
    page.locator("body").press("b")
    page.locator("#record .mark.bad[aria-pressed=true]").wait_for()
    page.locator("body").press("k")
    page.locator("#record h2", has_text="r000").wait_for()
    page.locator("body").press("/")
    page.keyboard.type("bgj")
    found(page, "0 records")
    assert {record: mark.mark for record, mark in read_marks(out / "marks.jsonl").items()} == {"r001": "bad"}


def test_pages(make_run: Make, opened: Callable[..., Any]) -> None:
    page = opened(make_run(*[{"id": f"r{n:03}", "text": f"thing {n}"} for n in range(120)]))
    found(page, "50 records, and more")
    page.locator("#more").click()
    found(page, "100 records, and more")
    page.locator("#more").click()
    found(page, "120 records")
    assert names(page) == [f"r{n:03}" for n in range(120)] and page.locator("#more").is_hidden()


DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
HARM = "window.harm ?? document.querySelectorAll('script:not([src=\"/static/app.js\"]), [onerror], [onmouseover], iframe').length"


def test_a_record_that_tries_to_do_harm(make_run: Make, opened: Callable[..., Any]) -> None:
    evil = {"id": EVIL, "text": f"{EVIL}{'x' * 5_000_000}", EVIL: [EVIL], "images": [f"{MARKUP}.png"]}
    out = make_run(evil, {"id": "next", "text": f"refuse {EVIL}"}, {"id": "long", "text": f"<i>{'word ' * 12_000}</i>"})
    began = time.monotonic()
    page = opened(out)
    found(page, "3 records")
    assert time.monotonic() - began < 30
    assert MARKUP in names(page)[0] and "U+202E" in names(page)[0], "shown as text, with its control characters"
    assert "{{ 7 * 7 }}" in names(page)[0]
    began = time.monotonic()
    page.locator("#records .item").first.click()
    page.locator("#record .call").nth(1).wait_for()
    assert time.monotonic() - began < 30
    assert page.evaluate(HARM) == 0
    body = page.locator("#record").inner_text()
    assert MARKUP in body and "is not allowed" not in page.locator("#problems").inner_text()
    assert "5,000," in page.locator("#record .rest").first.inner_text()
    # each text is alone in a bdi, so that its direction ends with it
    outside = "[...document.querySelectorAll('#record *, #records *')].filter(e => !e.closest('bdi') && [...e.childNodes].some(n => n.nodeType === 3 && n.data.includes('<script'))).length"
    assert page.evaluate(outside) == 0
    assert page.evaluate("/[\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.innerText)") is False
    page.locator("#record .rest button").first.click()
    until(page, "document.querySelector('#record .rest').innerText.includes('40,000')")
    page.locator("#record .note").fill(EVIL.replace("\x00", ""))
    page.locator("#record .save").click()
    page.get_by_text("saved").wait_for()
    page.locator("#text").fill("onerror")
    found(page, "2 records")
    page.locator("#records .item").nth(1).hover()
    page.locator("#records .item").nth(1).click()
    page.locator("#record h2", has_text="next").wait_for()
    assert page.evaluate(HARM) == 0
    page.locator("#clear").click()
    page.locator("#records .item", has_text="long").click()
    page.locator("#record .rest").first.get_by_text("Show all").click()
    page.locator("#record .field .rest").wait_for(state="detached")
    assert page.locator("#record dd").nth(0).text_content().count("word") == 12_000
    assert page.evaluate(HARM) == 0


def test_the_policy_holds_even_if_the_page_has_a_mistake(make_run: Make, browser: Any) -> None:
    with served(make_run(*items(1))) as url:
        page = browser.new_page()
        page.goto(url)
        page.locator("#records .item").first.wait_for()
        inline = "const s = document.createElement('script'); s.text = 'window.harm = 1'; document.body.append(s)"
        for attempt in (
            inline, "document.body.innerHTML = '<img src=x onerror=\"window.harm = 1\">'", "eval('window.harm = 1')",
            "document.body.insertAdjacentHTML('beforeend', '<svg onload=\"window.harm = 1\">')",
            "const i = document.createElement('iframe'); i.srcdoc = '<script>parent.harm = 1</script>'; document.body.append(i)",
            "setTimeout('window.harm = 1')",
        ):  # fmt: skip
            # After a moment: what `evaluate` runs itself is free of the policy.
            page.evaluate(f"setTimeout(() => {{ {attempt} }}); 0")
        for address in ("https://example.com/x.png", DOT):
            page.evaluate(
                "src => { const i = new Image(); i.onload = () => { window.harm = 1 }; i.src = src }", address
            )
        blocked = "fetch('http://127.0.0.1:9/').then(() => 'sent', error => String(error))"
        assert "TypeError" in page.evaluate(blocked)
        page.wait_for_timeout(300)
        assert page.evaluate("window.harm") is None
        page.close()


def test_without_the_token(make_run: Make, browser: Any) -> None:
    with served(make_run(*items(1))) as url:
        page = browser.new_page()
        for address in (url.partition("?")[0], f"{url}x"):
            answer = page.goto(address)
            assert answer.status == 403 and "open the URL" in page.locator("body").inner_text()
        page.close()


def test_keys_are_about_the_record_that_they_open(make_run: Make, opened: Callable[..., Any]) -> None:
    out = make_run(*items(70))
    page = opened(out)
    page.locator("#records .item").first.click()
    page.locator("#record .mark.bad").wait_for()
    for _ in range(5):
        page.keyboard.press("j")
        page.keyboard.press("b")
    until(page, "document.querySelector('#state').innerText.includes('5 bad')")
    assert sorted(read_marks(out / "marks.jsonl")) == [f"r{n:03}" for n in range(1, 6)]
    page.locator("#records .item").nth(49).click()
    page.locator("#record h2", has_text="r049").wait_for()
    page.keyboard.press("j")
    page.locator("#record h2", has_text="r050").wait_for()


def test_a_note_is_saved_when_another_record_is_opened(make_run: Make, opened: Callable[..., Any]) -> None:
    out = make_run(*items(3))
    page = opened(out)
    page.locator("#records .item").first.click()
    page.locator("#record .note").fill("not saved by hand")
    MarkFile(out / "marks.jsonl").change("r000", mark="bad")  # by another person, meanwhile
    page.locator("#records .item").nth(1).click()
    page.locator("#record h2", has_text="r001").wait_for()
    until(page, "document.querySelector('#state').innerText.includes('1 with a note')")
    assert read_marks(out / "marks.jsonl")["r000"][:2] == ("bad", "not saved by hand")


def test_two_runs_side_by_side(make_run: Make, opened: Callable[..., Any], tmp_path: Path) -> None:
    one = make_run(*items(4), name="one")
    two = make_run(*items(3)[:2], {"id": "r002", "text": "something else"}, name="two")
    page = opened(one, two)
    page.locator("#records .item", has_text="r002").click()
    page.locator(".column .call").nth(3).wait_for()
    until(page, "document.querySelectorAll('.field.differs').length > 0")
    assert page.locator(".column .run").all_inner_texts() == ["one", "two"]
    assert page.locator(".column").first.locator(".differs dt").all_inner_texts()[:2] == ["text", "instruction"]
    page.locator("[data-run='1'] .mark.bad").click()
    page.locator("[data-run='1'] .mark.bad[aria-pressed=true]").wait_for()
    page.get_by_text("saved").wait_for()
    assert not (one / "marks.jsonl").exists() and read_marks(two / "marks.jsonl")["r002"].mark == "bad"
    page.locator("#records .item", has_text="r001").click()
    page.locator(".column h2", has_text="r001").nth(1).wait_for()
    until(page, "document.querySelectorAll('.column .call').length === 4")
    assert page.locator(".field.differs").count() == 0
    page.locator("#records .item", has_text="r003").click()
    page.get_by_text("The run has no outcome of this record.").wait_for()
    page.locator("#run").select_option("1")
    found(page, "3 records")


def test_images_that_are_not_allowed(make_run: Make, opened: Callable[..., Any], tmp_path: Path) -> None:
    tiny_image(tmp_path / "a.png")
    outside = tiny_image(tmp_path.parent / f"{tmp_path.name}.png")
    page = opened(make_run({"id": "a", "text": "x", "images": ["a.png", str(outside), "https://example.com/a.png"]}))
    page.locator("#records .item").click()
    page.get_by_text("is outside the source's folder").wait_for()
    page.get_by_text("not fetched: https://example.com/a.png").wait_for()
    until(page, "document.querySelector('#record .images img').naturalWidth === 32")


SLOW = """
import time

def answer(request):
    time.sleep(0.15)
    return "[[5]]"
"""


def test_a_run_that_is_active(make_run: Make, opened: Callable[..., Any], tmp_path: Path) -> None:
    out = make_run(*items(60), limit=2)
    (tmp_path / "answers.py").write_text(SLOW)
    command = [
        sys.executable,
        "-m",
        "mminf.cli.main",
        "run",
        str(tmp_path / "one.yaml"),
        "-o",
        str(out),
        "--set",
        "window=1",
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = opened(out)
        page.locator("#state", has_text="running").wait_for()
        page.locator("#reload", has_text="new").wait_for()
        seen = int(re.findall(r"(\d+) done", page.locator("#state").inner_text())[0])
        page.locator("#reload").click()
        until(page, "document.querySelectorAll('#records .item').length > 2")
        page.locator("#state", has_text="finished · 60 done").wait_for()
        assert 0 < seen < 60
    finally:
        running.kill() if running.poll() is None else None
        running.wait()


def test_problems_are_shown(make_run: Make, opened: Callable[..., Any]) -> None:
    import sqlite3

    out = make_run(*items(3))
    with sqlite3.connect(out / "journal.sqlite") as connection:
        connection.execute("UPDATE rows SET fields = '{}' WHERE id = 'r001'")
    connection.close()
    (out / "marks.jsonl").write_text("no json\n")
    page = opened(out)
    assert "marks.jsonl:1: not a mark" in page.locator("#problems").inner_text()
    found(page, "3 records")
    page.locator("#records .item", has_text="broken").click()
    page.get_by_text("mminf repair").first.wait_for()
    page.locator("#record .call").nth(1).wait_for()


def test_the_app_has_ended(make_run: Make, page: Any) -> None:
    with served(make_run(*items(1))) as url:
        page.goto(url)
        page.locator("#records .item").wait_for()
    page.locator("#text").fill("x")
    page.get_by_text("Has `mminf view` ended?").wait_for()


def test_a_mark_that_can_not_be_saved_is_taken_back(make_run: Make, opened: Callable[..., Any]) -> None:
    out = make_run(*items(2))
    (out / "marks.jsonl").symlink_to("/dev/null")
    page = opened(out)
    page.locator("#records .item").first.click()
    page.locator("#record .mark.good").click()
    page.get_by_text("the mark can't be written").wait_for()
    assert page.locator("#record .mark.good").get_attribute("aria-pressed") == "false"
