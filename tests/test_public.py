"""The public API: a name that is added or removed here is a change for the authors of plugins."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from mminf.errors import UnusableAnswer

PUBLIC = {
    "mminf": """
        EngineError ImageError JournalError MminfError OutputError PluginError RecipeError RecordError
        RunProgress RunResult SourceError UnusableAnswer UsageError arun content_folder export list load plan preview
        read_outcomes read_recipe report retry run show status validate
    """,
    "mminf.backend": """
        Backend BatchingEncoder BuiltinModel Encoded EncoderConfig EngineConfig EngineDied EngineError Generation ImagePart Rendered Request
        RequestError Sampling Turn backend find_model register_model
    """,
    "mminf.sink": """
        Assets ImageError Problem RecipeError Record RecordError Sink SinkConfig Written json_text replace_file sink
    """,
    "mminf.source": """
        BadRow Numbered Record Source SourceConfig SourceError json_fields source
    """,
    "mminf.step": """
        Amount BaseGenerate Children Context DatasetStep Draft Drop Fields GenerateConfig Generation ImageError
        ImagePart Json MissingField Names Outcome PromptConfig PromptStep Range Record RecordError RequestError
        Sampling Step StepConfig TemplateFolders Turn UnusableAnswer coverage cut_off final_text
        find_language find_not_in find_other_language is_placeholder is_quoted known_languages lazy_pattern parse_json parse_letter parse_lines parse_regex parse_score parse_tag
        parse_verdict require_content short skipped_words step strange_words unfence unwrap
    """,
    "mminf.testing": "StubGateway make_step run_dataset_step run_step",
}
NAMES = [(package, name) for package, names in PUBLIC.items() for name in names.split()]


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_these(package: str) -> None:
    assert import_module(package).__all__ == PUBLIC[package].split()


@pytest.mark.parametrize("package", PUBLIC)
def test_they_are_in_order(package: str) -> None:
    assert PUBLIC[package].split() == sorted(PUBLIC[package].split())


@pytest.mark.parametrize(("package", "name"), NAMES, ids=[".".join(item) for item in NAMES])
def test_each_can_be_imported_and_says_what_it_is(package: str, name: str) -> None:
    item = getattr(import_module(package), name)
    if inspect.isclass(item) or inspect.isfunction(item):
        text = (item.__doc__ or "").strip()
        # A dataclass without a docstring gets its signature as one.
        assert text, f"{package}.{name} has no docstring"
        assert not text.startswith(f"{name}("), f"{package}.{name} has no docstring"


@pytest.mark.parametrize("package", PUBLIC)
def test_an_unknown_name_is_an_error(package: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        import_module(package).nothing  # noqa: B018


def test_old_names_work_for_one_version() -> None:
    for module in ("mminf", "mminf.step", "mminf.errors"):
        with pytest.warns(DeprecationWarning, match="AskAgain is now called UnusableAnswer"):
            assert import_module(module).AskAgain is UnusableAnswer
    with pytest.warns(DeprecationWarning, match="Parked is now called EngineNotLoaded"):
        assert import_module("mminf.errors").Parked.__name__ == "EngineNotLoaded"


def test_no_name_of_the_package_is_a_module() -> None:
    """An import of the module would replace the name."""
    import mminf

    modules = {path.stem for path in Path(mminf.__file__).parent.iterdir()}
    assert not modules & set(mminf.__all__)


def test_the_version_is_the_same_everywhere() -> None:
    import yaml

    import mminf

    root = Path(__file__).parent.parent
    assert yaml.safe_load((root / "CITATION.cff").read_text())["version"] == mminf.__version__
    assert mminf.__version__ in (root / "setup.py").read_text() or "__version__" in (root / "setup.py").read_text()
