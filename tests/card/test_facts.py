"""What a card says about models and papers, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf.card.citations import find_papers, read_papers
from mminf.card.hide import hide_text, hide_values, shorten_path
from mminf.card.models import find_licence, list_models, page_of, read_licence
from mminf.catalogue import list_recipes

# Papers


def test_the_papers_of_all_bundled_recipes_are_known() -> None:
    named = {paper.arxiv: paper for text in list_recipes().values() for paper in find_papers(text)}
    assert len(named) >= 9 and all(paper.bibtex is not None for paper in named.values()), named
    assert set(read_papers()) == set(named), "and no others are stored"


def test_bibtex() -> None:
    (paper,) = find_papers("see arXiv:2409.05840v3, and arxiv 2409.05840")
    assert paper.link == "https://arxiv.org/abs/2409.05840" and paper.bibtex is not None
    assert paper.bibtex.startswith("@article{luo2024mmevol,\n  title = {{MMEvol: Empowering")
    assert "Min Yang and others}," in paper.bibtex and "year = {2024}," in paper.bibtex


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("version 2409.05840", []),
        ("arXiv 2409.0584", ["2409.0584"]),
        ("https://arxiv.org/pdf/2501.00001v2", ["2501.00001"]),
        ("arXiv 2501.00002, arXiv 2501.00001", ["2501.00002", "2501.00001"]),
        ("myarxiv 2501.00002", []),
    ],
)
def test_ids(text: str, ids: list[str]) -> None:
    assert [paper.arxiv for paper in find_papers(text)] == ids


def test_an_unknown_paper_has_a_link_and_no_invented_entry() -> None:
    (paper,) = find_papers("arXiv 2501.00001")
    assert (paper.title, paper.bibtex) == (None, None)


# Models


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlicense:\n- mit\n- apache-2.0\n---\n", "mit, apache-2.0"),
        ("---\nlicense: other\nlicense_name: qwen\n---\n# x", "qwen"),
        ("---\nlicense: other\n---\n", None),
        ("---\nlicense: 3\n---\n", None),
        ("---\n- license: mit\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("license: mit", None),
        ("# Model\n---\nlicense: mit\n---\n", None),
        ("", None),
    ],
)
def test_licences_of_model_cards(card: str, licence: str | None) -> None:
    assert read_licence(card) == licence


def test_licences_in_the_caches_of_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def cached(model: str, name: str) -> str | None:
        asked.append((model, name))
        return str(tmp_path / "README.md") if model == "org/one" else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    folder = tmp_path / "ms" / "hub" / "models" / "org" / "two___5-vl"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: gemma\n---\n")
    assert [find_licence(name) for name in ("org/one", "org/two.5-vl", "org/three", "gpt-4o")] == [
        "mit",
        "gemma",
        None,
        None,
    ]
    assert asked == [("org/one", "README.md"), ("org/two.5-vl", "README.md"), ("org/three", "README.md")]


def test_the_licence_of_the_bundled_model() -> None:
    assert find_licence("builtin:demo") == "apache-2.0"
    assert find_licence("builtin:nothing") is None


def test_pages_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page_of("Qwen/Qwen2-VL-7B-Instruct") == "https://huggingface.co/Qwen/Qwen2-VL-7B-Instruct"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert [page_of(name) for name in ("models/mine", "gpt-4o", "/models/x", "builtin:demo", "a/b/c", "../x")] == [
        None
    ] * 6


def test_models_are_those_that_steps_call() -> None:
    recipe = {
        "engines": {
            "a": {"backend": "vllm", "model": "o/a", "revision": "v2"},
            "b": {"backend": "openai", "model": "o/a", "revision": "v2"},
            "unused": {"backend": "vllm", "model": "o/c"},
        },
        "steps": [
            {"generate": {"name": "one", "engine": "a"}, "version": 1},
            {"generate": {"name": "two", "engine": "b"}, "version": 1},
            {"set": {"name": "three"}, "version": 1},
            {"generate": {"name": "four", "engine": "missing"}},
        ],
    }
    (model,) = list_models(recipe)
    assert (model.name, model.revision) == ("o/a", "v2")
    assert (model.backends, model.steps) == (("vllm", "openai"), ("one", "two"))


# What is left out


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("/data/models/Qwen", "<local>/Qwen"),
        ("~/models/x", "<local>/x"),
        ("C:\\models\\x", "<local>/x"),
        ("file:///data/x.jsonl", "<local>/x.jsonl"),
        ("Qwen/Qwen2-VL", "Qwen/Qwen2-VL"),
        ("images/", "images/"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("/", "/"),
        ("/data/a\nmore", "/data/a\nmore"),
        ("a / b", "a / b"),
    ],
)
def test_paths(text: str, short: str) -> None:
    assert shorten_path(text) == short
    assert hide_values({"x": [text, 3]}) == {"x": [short, 3]}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("see /data/run/x.png.", "see <local>/x.png."),
        ("/data/running /data/run", "/data/running <local>"),
        ("/data/run-2/x", "/data/run-2/x"),
        ("http://localhost:8000/v1", "http://<server>/v1"),
        ("http://10.0.0.3/v1 and https://api.openai.com/v1", "http://<server>/v1 and https://api.openai.com/v1"),
        ("http://gpu7.corp:1/v1", "http://<server>/v1"),
        ("http://[::1]:8000/x", "http://<server>/x"),
        ("https://arxiv.org/abs/2503.08741", "https://arxiv.org/abs/2503.08741"),
    ],
)
def test_texts(text: str, hidden: str) -> None:
    assert hide_text(text, ["/data/run"]) == hidden


def test_short_folders_are_no_paths_to_hide() -> None:
    assert hide_text("/data is a word here", ["/data", "/"]) == "/data is a word here"
