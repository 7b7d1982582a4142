"""Plans an upload to a hub, and makes it."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mminf.card.collect import CardFacts, collect_facts, local_folder
from mminf.card.datasets import Dataset, find_copies
from mminf.card.header import CardOptions, check_header, list_configs
from mminf.card.render import Place, render_card, resolve_recipe
from mminf.card.rows import sample_rows
from mminf.card.write import mark_card, parse_card, read_card
from mminf.errors import OutputError, UsageError
from mminf.hub.embed import Estimate, embed_images, embedded_name, estimate
from mminf.hub.hubs import Hub, HuggingFace, ModelScope
from mminf.output_names import CARD, RESOLVED
from mminf.plugin import discover
from mminf.storage import to_path

log = logging.getLogger("mminf")
PREFIX = "hub:"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of the upload.

    Attributes:
        path: in the repository; a pattern for files that are made when they are uploaded.
        size: bytes; estimated for such files.
        source: the file; None for the card, the recipe, and files that are made.
    """

    path: str
    size: int
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class _Conversion:
    dataset: Dataset
    target: Dataset
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What an upload would do. Nothing is sent or written before `push`.

    Attributes:
        repository: its name, as it was given.
        card: text of README.md.
        uploads: files of the repository.
        warnings: what the user should know before the upload.
        problems: what is wrong or missing in the card's header.
    """

    hub: Hub
    repository: str
    output: Path
    folder: Path
    card: str
    recipe: str
    datasets: Sequence[Dataset]
    uploads: Sequence[Upload]
    warnings: Sequence[str]
    problems: Sequence[str]
    conversions: Sequence[_Conversion] = field(default=())

    @property
    def url(self) -> str:
        return self.hub.url(self.repository)


def plan_push(
    output: str | Path,
    target: str,
    *,
    modelscope: bool = False,
    datasets: str | Path | None = None,
    include_images: bool = False,
    plugins: Sequence[str] = (),
) -> PushPlan:
    """Returns what an upload of a run's datasets would do.

    Args:
        target: `hub:OWNER/NAME`; Hugging Face also takes `hub:NAME`, a repository of the user.
        datasets: folder that `mminf export --to` has written; by default the output.
        include_images: upload datasets whose rows name files of this machine as Parquet with the images in the rows.
        plugins: plugin files or modules of the run.

    Raises:
        UsageError: if the target is not valid.
        JournalError: if there is no run.
        OutputError: if there are no datasets, or they are in a store.
    """
    hub: Hub = ModelScope() if modelscope else HuggingFace()
    if not target.startswith(PREFIX) or not target.removeprefix(PREFIX):
        raise UsageError(f"{target[:80]!r} is not {PREFIX}NAME; example: {PREFIX}my-name/my-dataset")
    repository = target.removeprefix(PREFIX)
    hub.check_name(repository)
    discover(plugins)
    facts, folder = collect_facts(output, datasets), local_folder(output, datasets)
    if not facts.datasets:
        raise OutputError(f"{folder} contains no datasets of the run; `mminf export` writes them")
    conversions = list(_plan_conversions(folder, facts)) if include_images else []
    uploaded = _replaced(facts.datasets, conversions)
    card = _card(facts, folder, uploaded, Place(repository, hub.download(repository), include_images, modelscope))
    recipe = resolve_recipe(facts)
    uploads = [
        Upload(CARD, len(card.encode())),
        Upload(RESOLVED, len(recipe.encode())),
        *_uploads(folder, uploaded, conversions),
    ]
    return PushPlan(
        hub,
        repository,
        to_path(str(output)),
        folder,
        card,
        recipe,
        uploaded,
        uploads,
        list(_warnings(facts, conversions, include_images=include_images)),
        check_header(card, [upload.path for upload in uploads]),
        conversions,
    )


def push(plan: PushPlan, *, private: bool = False, force: bool = False) -> str:
    """Uploads what a plan says. Returns the page of the repository.

    Args:
        private: make a private repository. An existing public one is refused.
        force: also replace the card of a repository that mminf did not write.

    Raises:
        UsageError: if there is no token.
        OutputError: if the repository is somebody's own, or the upload fails.
    """
    hub = plan.hub
    if not hub.has_token():
        raise UsageError(f"there is no token for {hub.name}; run `{hub.login}`, or set {hub.variable}")
    repository = hub.full_name(plan.repository)
    there = None if force else hub.read_card(repository)
    if there is not None and there.strip() != plan.card.strip() and not parse_card(there).ours:
        raise OutputError(
            f"{hub.url(repository)} has a {CARD} that mminf did not write, or that was changed since; choose another "
            "name, or use --force to replace it"
        )
    staged = Path(tempfile.mkdtemp(prefix=".mminf-push-", dir=plan.folder if os.access(plan.folder, os.W_OK) else None))
    try:
        _stage(plan, staged)
        folders = [dataset for dataset in plan.datasets if dataset.is_folder]
        hub.upload(repository, staged, private=private, replaced=[f"{dataset.path}/*" for dataset in folders])
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return hub.url(repository)


def _stage(plan: PushPlan, staged: Path) -> None:
    """Makes the folder that is uploaded. Files are linked where the file system can."""
    (staged / CARD).write_text(plan.card, encoding="utf-8", errors="replace")
    (staged / RESOLVED).write_text(plan.recipe, encoding="utf-8", errors="replace")
    for upload in plan.uploads:
        if upload.source is not None:
            path = staged / upload.path
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(upload.source, path)
            except OSError:
                shutil.copyfile(upload.source, path)
    for item in plan.conversions:
        target = staged / item.target.path
        target.parent.mkdir(parents=True, exist_ok=True)
        written = embed_images(plan.output, plan.folder, item.dataset, target, item.estimate.rows_per_file)
        if written.left_out:
            log.warning(
                "%s: %d rows are left out, because an image can't be read, such as %s",
                item.dataset.path,
                written.left_out,
                written.example,
            )
        if item.dataset.rows and not written.rows:
            raise OutputError(f"{item.dataset.path}: no row has images that can be read: {written.example}")


def _plan_conversions(folder: Path, facts: CardFacts) -> Iterator[_Conversion]:
    if not any(use.local for use in facts.images.values()):
        return
    taken = frozenset(dataset.path for dataset in facts.datasets)
    for dataset in facts.datasets:
        # Those without images are converted, too: the `datasets` library loads one format per repository.
        local = dataset.path in facts.images and facts.images[dataset.path].local
        if not local and dataset.format not in ("json", "jsonl"):
            continue
        found = estimate(folder, dataset, sample_rows(folder, dataset))
        path, rows = embedded_name(dataset, taken), dataset.rows or 0
        target = replace(
            dataset, path=path, format="parquet", files=(f"{path}/00000.parquet",), size=int(rows * found.row_bytes)
        )
        yield _Conversion(dataset, target, found)


def _replaced(datasets: Sequence[Dataset], conversions: Sequence[_Conversion]) -> list[Dataset]:
    targets = {item.dataset.path: item.target for item in conversions}
    return [targets.get(dataset.path, dataset) for dataset in datasets]


def _uploads(folder: Path, datasets: Sequence[Dataset], conversions: Sequence[_Conversion]) -> Iterator[Upload]:
    made = {item.target.path for item in conversions}
    for dataset in datasets:
        if dataset.path in made:
            yield Upload(f"{dataset.path}/*.parquet", dataset.size)
            continue
        for name in dataset.files:
            yield Upload(name, (folder / name).stat().st_size, folder / name)


def _card(facts: CardFacts, folder: Path, datasets: Sequence[Dataset], place: Place) -> str:
    """Returns the card: a new one, or that of the user, with the files that are uploaded."""
    existing = read_card(folder / CARD)
    if existing is None or existing.ours:
        options = existing.options if existing is not None else CardOptions()
        return mark_card(render_card(facts, options, place, datasets), options)
    text = (folder / CARD).read_text(encoding="utf-8", errors="replace")
    return _with_files(text, datasets) if place.embedded else text


def _with_files(card: str, datasets: Sequence[Dataset]) -> str:
    """Returns a user's card whose header lists the files that are uploaded. A header that can't be read is kept."""
    from huggingface_hub import DatasetCard

    try:
        found = DatasetCard(card)
        found.data.configs = list_configs(datasets)
        return str(found)
    except Exception as error:  # the library raises the errors of YAML and its own
        log.warning("%s: its header can't be read, and is uploaded unchanged: %s", CARD, error)
        return card


def _warnings(facts: CardFacts, conversions: Sequence[_Conversion], *, include_images: bool) -> Iterator[str]:
    if not facts.is_finished:
        yield f"the run is not finished (state: {facts.status['state']}); the card says so"
    if not facts.rows:
        yield "the datasets have no rows"
    if (copies := find_copies(facts.datasets, facts.recipe)) and len(copies) < len(facts.datasets):
        yield (
            f"{', '.join(copies)}: an export, with records that the recipe's datasets contain as well; to upload some "
            "of the datasets, export them with --to FOLDER, and use --datasets FOLDER"
        )
    local = {path: use.example for path, use in facts.images.items() if use.local}
    if local and not include_images:
        yield (
            f"rows of {', '.join(local)} name images by paths of this machine, such as {next(iter(local.values()))}, "
            "which nobody else can open; --include-images uploads Parquet with the images in the rows"
        )
    for item in conversions:
        if item.estimate.missing:
            yield f"{item.dataset.path}: images are missing, such as {item.estimate.example}; their rows are left out"
    if conversions:
        yield "images are uploaded: check that their licences allow it, and whether they show persons"
