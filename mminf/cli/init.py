"""`mminf init`."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mminf.cli.terminal import echo, echo_wrapped
from mminf.content import builtin_recipes
from mminf.errors import UsageError

if TYPE_CHECKING:
    from mminf.input_summary import InputSummary
    from mminf.starter import Fitting, Where
    from mminf.starter_models import Server

_FIELDS = "`mminf recipes NAME` lists the fields that a recipe needs"
_COLUMNS = ", and `--column instruction=question` reads a field from a column of another name"
_USUAL = 0.5
"""Share of the records that must have a field for recipes that need it to be proposed."""
_MOST = 8
"""Number of recipes that are proposed."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("init")(init)


def init(
    folder: Path = typer.Argument(Path("my_data"), help="Folder for the recipe."),
    input: str | None = typer.Option(  # noqa: A002 (what users call it)
        None, "--input", "-i", help="Image folder, or a file of rows. Without it, recipes that take no input."
    ),
    gpu: bool = typer.Option(False, "--gpu", help="The models run on a GPU of this machine."),
    server: str | None = typer.Option(
        None, "--server", help="The models run on an OpenAI-compatible server: its address."
    ),
    cpu: bool = typer.Option(False, "--cpu", help="Neither: a small model on the CPU, for ten records."),
    model: str | None = typer.Option(
        None, "--model", help="Model that sees images, a name or a folder; by default the recipe's."
    ),
    text_model: str | None = typer.Option(
        None, "--text-model", help="Model of the steps without images; by default the recipe's, or --model on a server."
    ),
    columns: list[str] = typer.Option(
        [], "--column", help="FIELD=COLUMN: read a field from a column of another name; may be repeated."
    ),
    image_root: str | None = typer.Option(None, "--image-root", help="Folder that paths of images start at."),
    recipe: str | None = typer.Option(None, "--recipe", help="Bundled recipe; by default the first that fits."),
    force: bool = typer.Option(False, "--force", help="Replace a recipe that is there."),
) -> None:
    """Write a first recipe for your input, and print the next commands. In a terminal, it asks for what is missing.

    Examples:

        mminf init my_data --input my_images/ --gpu

        mminf init my_data --input my_images/ --server https://api.openai.com/v1 --model gpt-4.1-mini

        mminf init my_data --input rows.jsonl --cpu --recipe caption_qa
    """
    from mminf.starter import next_commands, write_starter

    ask = sys.stdin.isatty() and sys.stdout.isatty()
    given = input
    if given is None and ask:
        given = typer.prompt("images or rows (empty: none)", default="", show_default=False) or None
    where, server = _where(gpu=gpu, server=server, cpu=cpu, ask=ask)
    if server is not None and model is None and ask:
        model = typer.prompt("name of the model on the server")
    asked = _ask_server(server, model)
    found = _inspect(given, columns, image_root)
    fits = _fitting(found)
    _check_fit(recipe, found, fits)
    closed = where.value == "server" and not asked.hooks
    chosen = recipe or _choose(fits, closed=closed, ask=ask)
    if recipe is None:
        _tell_columns(found)
    path = write_starter(chosen, folder, found, where, url=server, model=model, text_model=text_model, force=force)
    echo()
    echo(f"wrote {path}")
    _tell_lacking(chosen, found)
    _tell_models(path, text_model)
    _tell_place(where, asked.refused)
    echo("next:")
    commands = next_commands(path, chosen, where, fits, open_turn=not closed)
    width = max(len(command) for command, _ in commands)
    for command, purpose in commands:
        echo(f"  {command:{width}}  # {purpose}")


def _fitting(found: InputSummary | None) -> list[Fitting]:
    """Returns the recipes that fit the usual records of an input; if there are none, those that fit any of them."""
    from mminf.starter import fitting_recipes

    if found is None:
        return fitting_recipes(None)
    return fitting_recipes(found.including(_USUAL)) or fitting_recipes(found.including())


def _inspect(given: str | None, columns: Sequence[str], image_root: str | None) -> InputSummary | None:
    """Returns what the input contains, and prints it; None without an input."""
    from mminf.input_summary import inspect_input

    renamed: dict[str, str | list[str]] = {}
    for field, column in map(_column, columns):
        before = renamed.get(field, [])
        renamed[field] = [*([before] if isinstance(before, str) else before), column] if before else column
    if given is None:
        if renamed or image_root is not None:
            raise UsageError("--column and --image-root need --input")
        return None
    found = inspect_input(given, columns=renamed, image_root=image_root)
    _tell(given, found)
    return found


def _check_fit(recipe: str | None, found: InputSummary | None, fits: Sequence[Fitting]) -> None:
    """Raises UsageError if no recipe fits the input, or the named one does not."""
    from mminf.starter import fitting_recipes, missing_fields

    kind = None if found is None else next(iter(found.source))
    hint = _FIELDS if kind in (None, "images", "text") else _FIELDS + _COLUMNS
    if not fits and recipe is None:
        renamed = _renamed(found)
        raise UsageError(f"no bundled recipe fits this input; {'; '.join(renamed) if renamed else hint}")
    known = builtin_recipes()
    if recipe in known and found is not None and recipe not in {item.name for item in fits}:
        if recipe in {item.name for item in fitting_recipes(found.including())}:
            return
        lacks = missing_fields(str(recipe), found.including())
        told = ", ".join(lacks) or "another input"
        like = _like(lacks, found)
        raise UsageError(
            f"recipe {recipe!r} does not fit this input: it needs {told}{like}; {_FIELDS if like else hint}"
        )


def _like(fields: Sequence[str], found: InputSummary) -> str:
    """Returns the options that read fields from columns that may be meant by them."""
    from mminf.starter import column_like

    columns = found.including().fields - {"images", "id"}
    pairs = [f"{name}={other}" for name in fields if (other := column_like(name, columns)) is not None]
    return f"; try `{' '.join(f'--column {shlex.quote(pair)}' for pair in pairs)}`" if pairs else ""


def _ask_server(url: str | None, model: str | None) -> Server:
    from mminf.starter_models import Server, ask_server

    return Server(None) if url is None or model is None else ask_server(url, model)


def _tell_place(where: Where, refused: str | None) -> None:
    from mminf.starter import finds_gpu

    if where.value == "gpu" and not finds_gpu():
        told = "no GPU was found on this machine; "
        if find_spec("vllm") is None:
            told += "the recipe needs one: --server or --cpu, with --force, write others"
        else:
            told += "without one, vLLM's build for CPUs runs it, slowly; --server or --cpu, with --force, write others"
        echo_wrapped(f"note: {told}", indent="  ")
    if refused is not None:
        echo_wrapped(f"note: {refused}", indent="  ")
    if where.value == "cpu":
        echo_wrapped("A CPU takes minutes for a record: the recipe stops after ten. `limit` in it changes that.")


def _where(*, gpu: bool, server: str | None, cpu: bool, ask: bool) -> tuple[Where, str | None]:
    from mminf.starter import Where

    if sum((gpu, server is not None, cpu)) > 1:
        raise UsageError("choose one of --gpu, --server and --cpu")
    if server is not None:
        return Where.SERVER, server
    if gpu or cpu:
        return (Where.GPU if gpu else Where.CPU), None
    here = shutil.which("nvidia-smi") is not None
    if not ask:
        where = Where.GPU if here else Where.CPU
        echo_wrapped(
            f"models: on the {where.value}, because the machine has {'a' if here else 'no'} GPU (--{where.value})"
        )
        return where, None
    answer = ""
    while answer not in [item.value for item in Where]:
        question = "where do the models run: gpu (on this machine), server or cpu"
        answer = typer.prompt(question, default="gpu" if here else "server").strip().lower()
    where = Where(answer)
    return where, typer.prompt("address of the server, with /v1") if where is Where.SERVER else None


def _tell(given: str, found: InputSummary) -> None:
    from mminf.layout import amount

    count = "records; their number is not known without reading all" if found.records is None else None
    echo_wrapped(f"{given}: {count or amount(found.records or 0, 'record')}")
    images = "all" if found.with_images == found.read else f"{found.with_images} of {found.read}"
    echo_wrapped(f"  of the first {found.read}, {images} have images")
    some = [f"{name} ({number} of {found.read})" for name, number in sorted(found.partial.items()) if name != "images"]
    if others := [*sorted(found.fields - {"images"}), *some]:
        echo_wrapped(f"  fields: {', '.join(others)}", indent="    ")
    if found.bad[0]:
        echo_wrapped(f"  {amount(found.bad[0], 'row')} can't be read, such as {found.bad[1]}", indent="    ")
    if found.broken[0]:
        told = f"  {amount(found.broken[0], 'image')} can't be opened, such as {found.broken[1]}"
        rooted = "image_root" in next(iter(found.source.values()))
        missing = "" if rooted or "does not exist" not in found.broken[1] else "; --image-root names their folder"
        echo_wrapped(told + missing, indent="    ")


def _tell_columns(found: InputSummary | None) -> None:
    for line in _renamed(found):
        echo_wrapped(line, indent="  ")


def _renamed(found: InputSummary | None) -> list[str]:
    """Returns which recipes would fit if a column had another name."""
    from mminf.starter import renamed_columns

    lines = []
    for renamed, names in (renamed_columns(found.including(_USUAL)) if found is not None else {}).items():
        option = f"--column {shlex.quote(renamed)}"
        lines.append(f"with a column renamed, {', '.join(names[:_MOST])} would fit too: add `{option} --recipe NAME`")
    return lines


def _column(text: str) -> tuple[str, str]:
    """Returns the field and the column of FIELD=COLUMN. Raises UsageError."""
    field, equals, column = text.partition("=")  # the name of a column may end with a blank
    field = field.strip()
    if not (field and equals and column.strip()):
        raise UsageError(f"--column {text!r}: write FIELD=COLUMN, for example instruction=question")
    return field, column


def _tell_lacking(recipe: str, found: InputSummary | None) -> None:
    """Prints which of the first records lack a field that the recipe needs."""
    from mminf.starter import missing_fields

    if found is None:
        return
    for name in missing_fields(recipe, found):
        lacking = found.read - found.partial.get(name, 0)
        then = "such records will fail" if name == "images" else "the preview shows what becomes of such records"
        echo_wrapped(f"note: no {name} in {lacking} of the first {found.read} records: {then}", indent="  ")


def _tell_models(path: Path, text: str | None) -> None:
    """Prints the models of a recipe that run on this machine, which may have to be downloaded, and what they lack.

    Args:
        text: the value of --text-model.
    """
    from mminf.recipe.lines import load_document
    from mminf.starter_models import check_models

    engines = load_document(path).data["engines"]
    local = {key: body["model"] for key, body in engines.items() if body["backend"] != "openai"}
    if local:
        echo_wrapped(f"models: {', '.join(f'{key}: {model}' for key, model in local.items())}", indent="  ")
    for name, body in engines.items():
        if "model_type" in body:
            told = f"`model_type: {body['model_type']}` and `template: {body['template']}`"
            echo_wrapped(f"{name}: {told}: prompts as the model's own chat template writes them", indent="  ")
    for name, check in check_models(engines).items():
        if (problem := check.problem_of(name)) is not None:
            echo_wrapped(f"note: engine {name}: {problem}", indent="  ")
    if (
        text is None
        and "llm" in local
        and not Path(local["llm"]).is_dir()
        and any(Path(model).is_dir() for model in local.values())
    ):
        echo_wrapped(f"note: {local['llm']} is downloaded; --text-model FOLDER takes a local one instead", indent="  ")


def _choose(fits: list[Fitting], *, closed: bool, ask: bool) -> str:
    """Returns the chosen recipe. `closed`: a server may close the user's turn, which a hook needs open."""
    ranked = sorted(fits, key=lambda item: item.hooks) if closed else fits
    echo("recipes that fit:")
    for item in ranked[:_MOST]:
        note = " (needs a server that leaves the user's turn open)" if item.hooks and closed else ""
        echo_wrapped(f"  {item.name:16} {item.description}{note}", indent=" " * 19)
    if len(ranked) > _MOST:
        echo_wrapped(f"  and {', '.join(item.name for item in ranked[_MOST:])}", indent="    ")
    return str(typer.prompt("recipe", default=ranked[0].name)) if ask else ranked[0].name
