"""Makes the pictures of docs/looking.md: opens the demo run with `mminf report` and `mminf view` in Chromium.

make demo
python scripts/make_screenshots.py demo/out docs/images

The output is copied first, so that no mark is added to it. Chinese texts need a font, such as Debian's
`fonts-wqy-zenhei`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

SIZE = {"width": 1280, "height": 800}


@contextlib.contextmanager
def served(*outputs: Path) -> Iterator[str]:
    """Starts the app, and yields its URL."""
    command = [sys.executable, "-m", "mminf.cli.main", "view", *map(str, outputs)]
    app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert app.stdout is not None
        app.stdout.readline()
        yield app.stdout.readline().strip()
    finally:
        app.terminate()
        app.wait()


def save(page: Any, path: Path) -> None:
    """Writes a picture of the page, with 52 levels of each colour, which makes it smaller."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)  # images
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.point(lambda level: 5 * round(level / 5)).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def show_one(page: Any, folder: Path) -> None:
    """A record of a run, with a mark."""
    page.locator("#records .item", has_text="done").first.click()
    page.locator("#record .call").nth(1).wait_for()
    page.locator("#record .mark.good").click()
    page.locator("#record .note").fill("short and right")
    page.locator("#record .save").click()
    page.get_by_text("saved").wait_for()
    save(page, folder / "view-record.png")
    page.locator("#record details.prompt summary").nth(1).click()
    page.locator("#record .call").nth(0).evaluate("element => element.scrollIntoView()")
    save(page, folder / "view-calls.png")


def show_filters(page: Any, folder: Path) -> None:
    """Records that were found by a text and a score."""
    page.locator("#text").fill("what")
    page.locator(".range input").first.fill("1")
    page.locator("#outcome").select_option("dropped")
    page.wait_for_timeout(1500)
    page.locator("#records .item").first.click()
    page.locator("#record .call").nth(1).wait_for()
    save(page, folder / "view-filters.png")


def main() -> None:
    """Makes the pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="output of the demo run")
    parser.add_argument("folder", type=Path, help="folder for the pictures")
    parser.add_argument("--other", type=Path, help="output of another run of the same images, for a comparison")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        runs = [Path(shutil.copytree(asked.output, Path(scratch) / "demo"))]
        if asked.other is not None:
            runs.append(Path(shutil.copytree(asked.other, Path(scratch) / "other_seed")))
        for run in runs:
            (run / "marks.jsonl").unlink(missing_ok=True)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for shown, take in ((runs[:1], show_one), (runs[:1], show_filters), (runs, show_two)):
            if take is show_two and len(runs) < 2:
                continue
            with served(*shown) as url:
                page = browser.new_page(viewport=SIZE)
                page.goto(url)
                page.locator("#records .item").first.wait_for()
                take(page, asked.folder)
                page.close()
        show_page(browser, runs[0], asked.folder)
        browser.close()


def show_page(browser: Any, output: Path, folder: Path) -> None:
    """The page about a run: its beginning, the properties of the data, and the gallery."""
    # From its parent folder, so that the page has no path of this machine.
    subprocess.run([sys.executable, "-m", "mminf.cli.main", "report", output.name], check=True, cwd=output.parent)
    page = browser.new_page(viewport=SIZE)
    page.goto((output / "report.html").resolve().as_uri())
    page.wait_for_timeout(2000)  # charts
    save(page, folder / "report.png")
    for name, heading in (("report-properties", "Properties of the data"), ("report-records", "Records")):
        page.get_by_role("heading", name=heading, exact=True).first.evaluate("element => element.scrollIntoView()")
        save(page, folder / f"{name}.png")
    page.close()


def show_two(page: Any, folder: Path) -> None:
    """A record in two runs."""
    for item in page.locator("#records .item", has_text="done").all():
        item.click()
        page.locator(f".column h2:has-text('{item.get_attribute('data-id')}')").first.wait_for()
        page.wait_for_timeout(1500)
        if page.locator(".field.differs").count():
            break
    save(page, folder / "view-compared.png")


if __name__ == "__main__":
    main()
