"""`mminf report`: the page and the figures of real runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.errors import SourceError
from mminf.image import ImagePolicy
from mminf.page.collect import DatasetReport, RunReport, add_by_engine
from mminf.registry import Registry
from mminf.run_folder import image_policy

from ..conftest import tiny_image

RECIPE = """
name: {name}
published: {{source: a paper, pass_rates: {{keep: 0.6}}, kept: 0.5}}
engines: {{e: {{backend: scripted, script: {script}}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{engine: e, prompt: "Ask {{{{ text }}}}", writes: instruction}}
  - score: {{name: clarity, engine: e, prompt: "Rate {{{{ text }}}}", scale: [1, 5]}}
  - keep: clarity >= 3
sinks:
  - jsonl: out.jsonl
"""
SCRIPT = """
def answer(request):
    text = request.turns[-1].text
    return f"[[{1 + len(text) % 5}]]" if text.startswith("Rate") else text
"""
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)></textarea>\u202egnp.exe"


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def run(write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    def made(name: str, *items: dict[str, object]) -> Path:
        rows(*items)
        (tmp_path / "answers.py").write_text(SCRIPT)
        mminf.run(
            write_recipe(RECIPE.format(name=name, script=tmp_path / "answers.py"), f"{name}.yaml"),
            output=tmp_path / name,
        )
        return tmp_path / name

    return made


def items(number: int, **more: object) -> list[dict[str, object]]:
    return [{"id": f"r{n}", "text": f"{'x' * n} thing {n}", **more} for n in range(number)]


def tags_of(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def test_the_page_has_figures_records_and_published_rates(run: Callable[..., Path], tmp_path: Path) -> None:
    tiny_image(tmp_path / "a.png")
    output = run("one", *items(20, images=["a.png"]))
    result = CliRunner().invoke(app, ["report", str(output)])
    assert result.exit_code == 0 and result.output.strip() == f"{output}/report.html"
    page = (output / "report.html").read_text()
    (report,) = api.report(output)
    assert report.total == 20 and report.done == 12 and report.kept == 0.6
    assert report.funnel[2].passed == 0.6 and report.funnel[2].published == 0.6
    for text in ("60.0 %", "50.0 %", "a paper", "clarity", "at least 3", "scripted", "name: one", "r19", "xx thing 2"):
        assert text in page, text
    articles = [attributes for tag, attributes in tags_of(page) if tag == "article"]
    assert len(articles) == 20
    assert {attributes["data-state"] for attributes in articles} == {"done", "dropped"}
    assert sum(tag == "img" for tag, _ in tags_of(page)) == 20


def test_the_calls_are_added_by_engine(run: Callable[..., Path]) -> None:
    output = run("sums", *items(20))
    (report,) = api.report(output, html=output / "page.html")
    (engine,) = add_by_engine(report.costs)
    assert (engine.engine, engine.calls) == ("e", 40)
    assert engine.generated_tokens == sum(cost.generated_tokens for cost in report.costs)
    assert "<th>all steps</th><td>e</td><td>40</td>" in (output / "page.html").read_text()


def test_the_page_needs_no_network(run: Callable[..., Path]) -> None:
    output = run("two", *items(3))
    api.report(output, html=output / "page.html")
    page = (output / "page.html").read_text()
    for tag, attributes in tags_of(page):
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    assert "@import" not in page and "default-src 'none'" in page
    assert len(page) < 5_000_000


def test_texts_of_models_are_no_markup(run: Callable[..., Path]) -> None:
    evil = [{"id": f"{EVIL}{n}", "text": f"{EVIL} {n}", "images": [f"{EVIL}.png"]} for n in range(10)]
    output = run("evil", *evil)
    api.report(output, html=output / "page.html")
    page = (output / "page.html").read_text()
    tags = tags_of(page)
    assert sum(tag == "script" for tag, _ in tags) == 2
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert not [attributes for tag, attributes in tags if tag == "img"]
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"<script>alert", page)
    (rule,) = re.findall(r"^([^{}\n]+) \{ unicode-bidi: plaintext; \}$", page, re.MULTILINE)
    assert {"td", "dd", "h4", "pre", "article p"} == set(rule.split(", ")), "U+202E reverses no more than its element"


def test_several_runs_are_side_by_side(run: Callable[..., Path], tmp_path: Path) -> None:
    one, two = run("one", *items(10)), run("two", *items(20))
    result = CliRunner().invoke(app, ["report", str(one), str(two), "--html", str(tmp_path / "both.html")])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "both.html").read_text()
    assert page.count('<section class="cell">') == 12 and "<h3>two</h3>" in page
    assert not (one / "report.html").exists()


def test_figures_as_json(run: Callable[..., Path]) -> None:
    output = run("one", *items(5))
    result = CliRunner().invoke(app, ["report", str(output), "--json"])
    (found,) = json.loads(result.output)
    assert found["total"] == 5 and found["funnel"][0]["name"] == "generate" and found["funnel"][2]["passed"] == 0.6
    assert not (output / "report.html").exists(), "--json alone writes no page"


def test_a_run_without_records(run: Callable[..., Path]) -> None:
    output = run("empty")
    api.report(output, html=output / "page.html")
    assert "No record has an outcome yet." in (output / "page.html").read_text()


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        api.report(tmp_path)
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code != 0


def test_a_page_that_was_there_is_replaced_at_once(run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    output = run("one", *items(3))
    (output / "report.html").write_text("before")
    monkeypatch.setattr("mminf.page.report.render_page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        api.report(output, html=output / "report.html")
    assert (output / "report.html").read_text() == "before"


def test_a_source_that_is_not_there_any_more_shows_no_images(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_image(tmp_path / "a.png")
    output = run("one", *items(1, images=["a.png"]))
    assert isinstance(image_policy(output), ImagePolicy)
    monkeypatch.setattr("mminf.run_folder.SOURCES", Registry("source"))
    assert "unknown source 'jsonl'" in str(image_policy(output))


def test_properties_of_the_run_and_of_a_dataset_are_next_to_each_other(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    output = run("one", *items(20))
    rows = [
        {"messages": [{"role": "user", "content": f"<image>Describe thing {n}, </script>"}, {"role": "assistant", "content": "图中有一只猫。"}],
         "images": [str(tiny_image(tmp_path / f"{n}.png", size=(40 + n, 20)))]}
        for n in range(6)
    ]  # fmt: skip
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = api.report(output, other, html=tmp_path / "page.html")
    assert isinstance(found[0], RunReport) and isinstance(found[1], DatasetReport)
    assert "no dataset" in str(found[0].properties), "out.jsonl has no conversations"
    page = (tmp_path / "page.html").read_text()
    for text in ("other.jsonl", "6 rows", "landscape, portrait, square", "type-token ratio", "width of images"):
        assert text in page, text
    assert sum(tag == "script" for tag, _ in tags_of(page)) == 2
    assert json.loads(json.dumps(found[1].to_json()))["properties"]["datasets"][0]["rows"] == 6
    alone = CliRunner().invoke(app, ["report", str(other), "--html", str(tmp_path / "alone.html")])
    assert alone.exit_code == 0 and "Funnel" not in (tmp_path / "alone.html").read_text()


STAGES = """
name: stages
engines: {{e: {{backend: scripted, answer: fine}}}}
source: {{jsonl: rows.jsonl}}
budget: {{calls: {calls}}}
steps:
  - generate: {{name: ask, engine: e, prompt: "Ask {{{{ text }}}}", writes: asked}}
  - keep: number < 8
  - deduplicate: {{reads: text}}
  - generate: {{name: respond, engine: e, prompt: "Answer {{{{ text }}}}", writes: response}}
sinks: [{{jsonl: out.jsonl}}]
"""


@pytest.mark.parametrize("calls", [11, 14, 15])
def test_records_that_wait_for_a_later_stage_are_in_all_figures(
    calls: int, write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows(*({"id": f"r{n}", "text": f"text {n}", "number": n} for n in range(10)))
    out = tmp_path / "out"
    mminf.run(write_recipe(STAGES.format(calls=calls)), output=out)
    status = api.status(out)
    (report,) = api.report(out)
    passed = {step.name: (step.entered, step.dropped) for step in report.funnel}
    assert passed["keep"] == (10, 2) and passed["deduplicate"] == (8, 0)
    assert status["done"] + status["waiting"] == 8 and status["waiting"] == 8 - status["done"] > 0
    assert passed["respond"][0] == status["done"]
    assert report.total == 10 and report.kept is None
    assert len(list(api.list_records(out, outcomes=["waiting"]))) == status["waiting"]
    result = CliRunner().invoke(app, ["status", str(out)])
    assert f"{status['waiting']} waiting for a later stage" in result.output
    mminf.run(tmp_path / "recipe.yaml", output=out, settings=["budget.calls=100"])
    assert api.status(out)["waiting"] == 0 and api.report(out)[0].kept == 0.8


def test_properties_measured_aside_are_the_same(run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    output = run("aside", *items(20))
    (here,) = api.report(output)
    monkeypatch.setattr("mminf.page.collect.ASIDE", 0)
    (aside,) = api.report(output)
    assert aside.properties == here.properties
    monkeypatch.setattr("mminf.page.collect._CHILD", "raise SystemExit(3)")
    (again,) = api.report(output)
    assert again.properties == here.properties, "a child that fails is replaced"
