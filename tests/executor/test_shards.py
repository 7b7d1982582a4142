"""A run cut into shards: the same datasets, whatever the cut, with nothing asked twice and nothing lost."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.errors import JournalError, UsageError
from mminf.shard import Shard

from ..conftest import read_rows
from .conftest import ECHO

CUTTING = """
from mminf.record import Record
from mminf.source.base import Source, source

@source("cutting")
class Cutting(Source):
    cuts = True
    gaps = True

    def read(self, shard=None):
        for number in range(4):
            if shard is None or number % shard.count == shard.index:
                yield Record("same" if number in (1, 2) else f"r{number}", {"text": "say 1", "words": ["a"]}, number)
"""


def shards(recipe: Path, output: Path, of: int, **options: object) -> None:
    for number in range(of):
        result = api.run(recipe, output=output, shard=f"{number}/{of}", **options)
        assert (result.state, result.exit_code) == ("finished", 0)


def merge(recipe: str | Path, output: Path, **options: object) -> api.RunResult:
    limit = options.pop("limit", None)
    return api.merge(api.prepare(api.load(recipe, **options), output=output, limit=limit))  # type: ignore[arg-type]


def test_every_record_has_one_shard_and_repeated_ids_share_theirs() -> None:
    shards = [Shard(index, 7) for index in range(7)]
    names = [f"images/{n}.png" for n in range(1000)]
    owners = {name: [shard.index for shard in shards if shard.owns(name)] for name in names}
    assert all(len(numbers) == 1 for numbers in owners.values())
    sizes = Counter(numbers[0] for numbers in owners.values())
    assert min(sizes.values()) > 100, "shards are about equal"
    assert all(shard.owns("a~2") == shard.owns("a") == shard.owns("a~3") for shard in shards)


@pytest.mark.parametrize("text", ["8/8", "-1/8", "3", "a/b", "1/0", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give i/n with i from 0 to n-1"):
        Shard.parse(text)


@pytest.mark.parametrize("of", [1, 3])
def test_shards_make_the_same_datasets(
    images: Path, tmp_path: Path, scripted_oasis: list[str], calls_log: Path, of: int
) -> None:
    options = {"input": images, "settings": [*scripted_oasis, "steps.hook.n=3"]}
    mminf.run("oasis", output=tmp_path / "whole", **options)
    asked = Counter(calls_log.read_text().splitlines())
    calls_log.write_text("")
    shards("oasis", tmp_path / "cut", of, **options)  # type: ignore[arg-type]
    result = merge("oasis", tmp_path / "cut", **options)
    assert result.counts.done > 3
    for name in ("oasis.jsonl", "captions.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() != b""
    assert Counter(calls_log.read_text().splitlines()) == asked
    # Again, in one process: everything is there already.
    calls_log.write_text("")
    again = mminf.run("oasis", output=tmp_path / "cut", **options)
    assert again.counts == result.counts
    assert calls_log.read_text() == ""
    assert api.show(tmp_path / "cut", "000.png")["calls"] == [
        {**call, "run": 1, "seconds": pytest.approx(call["seconds"], abs=10)}
        for call in api.show(tmp_path / "whole", "000.png")["calls"]
    ], "prompts are found again, though they were packed against those of their shard"


def test_dataset_steps_run_once_over_all_shards_which_then_go_on(recipe: Path, tmp_path: Path, calls_log: Path) -> None:
    mminf.run(recipe, output=tmp_path / "whole")
    asked = Counter(calls_log.read_text().splitlines())
    calls_log.write_text("")
    shards(recipe, tmp_path / "cut", 3)
    waiting = merge(recipe, tmp_path / "cut")
    assert (waiting.state, waiting.exit_code) == ("waiting", 0)
    assert not (tmp_path / "cut" / "out.jsonl").exists()
    shards(recipe, tmp_path / "cut", 3)
    result = merge(recipe, tmp_path / "cut")
    assert (result.counts.done, result.counts.dropped) == (30, 5)
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()
    assert Counter(calls_log.read_text().splitlines()) == asked


def test_shards_can_go_on_in_another_cut_behind_a_dataset_step(recipe: Path, tmp_path: Path) -> None:
    mminf.run(recipe, output=tmp_path / "whole")
    shards(recipe, tmp_path / "cut", 3)
    merge(recipe, tmp_path / "cut")
    shards(recipe, tmp_path / "cut", 2)
    assert merge(recipe, tmp_path / "cut").counts.done == 30
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()


def test_what_shards_did_is_taken_over_by_a_plain_run(recipe: Path, tmp_path: Path, calls_log: Path) -> None:
    mminf.run(recipe, output=tmp_path / "whole")
    asked = Counter(calls_log.read_text().splitlines())
    calls_log.write_text("")
    api.run(recipe, output=tmp_path / "cut", shard="1/3")
    made = len(calls_log.read_text().splitlines())
    assert 0 < made < 20
    mminf.run(recipe, output=tmp_path / "cut")
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()
    assert Counter(calls_log.read_text().splitlines()) == asked, "no call was made twice"


def test_a_plain_run_is_taken_over_by_shards(recipe: Path, tmp_path: Path, calls_log: Path) -> None:
    """What is in the main journal is kept; what has changed since is computed again, and counts instead."""
    mminf.run(recipe, output=tmp_path / "cut")
    calls_log.write_text("")
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    lines[7] = '{"id": "r7", "text": "say other", "words": ["c"]}'
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines[:18], '{"id": "new", "text": "say new", "words": ["d"]}']))
    mminf.run(recipe, output=tmp_path / "whole")
    calls_log.write_text("")
    for _ in range(2):
        shards(recipe, tmp_path / "cut", 2)
        result = merge(recipe, tmp_path / "cut")
    assert result.counts == mminf.run(recipe, output=tmp_path / "whole").counts
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()
    assert 0 < len(calls_log.read_text().splitlines()) <= 8, "only what is new was asked"
    assert api.status(tmp_path / "cut")["total"] == 19


def test_a_shard_that_is_missing_running_or_of_another_recipe_is_named(recipe: Path, tmp_path: Path) -> None:
    api.run(recipe, output=tmp_path / "cut", shard="0/3")
    api.run(recipe, output=tmp_path / "cut", shard="1/3", seed=5)
    with pytest.raises(JournalError, match=r"shard 1/3 was run with another recipe.*; shard 2/3 has not begun"):
        merge(recipe, tmp_path / "cut")
    with pytest.raises(JournalError, match="contains a run in 3 shards, not in 2: .*`mminf merge`"):
        api.run(recipe, output=tmp_path / "cut", shard="0/2")
    api.run(recipe, output=tmp_path / "cut", shard="1/3")
    api.run(recipe, output=tmp_path / "cut", shard="2/3")
    assert merge(recipe, tmp_path / "cut").state == "waiting"
    api.run(recipe, output=tmp_path / "cut", shard="0/3")
    with pytest.raises(JournalError, match=r"shard 1/3 has not begun; shard 2/3 has not begun"):
        merge(recipe, tmp_path / "cut")


def test_two_runs_on_one_output_are_refused(recipe: Path, tmp_path: Path) -> None:
    from mminf.journal.lock import hold

    api.run(recipe, output=tmp_path / "cut", shard="0/2")
    with hold(tmp_path / "cut", shared=True), pytest.raises(JournalError, match="another run .a shard, process"):
        mminf.run(recipe, output=tmp_path / "cut")
    with hold(tmp_path / "cut"), pytest.raises(JournalError, match="another run .process"):
        api.run(recipe, output=tmp_path / "cut", shard="1/2")
    with hold(tmp_path / "cut" / "parts" / "00000-of-00002"), pytest.raises(JournalError, match="another run"):
        api.run(recipe, output=tmp_path / "cut", shard="0/2")
    with hold(tmp_path / "cut", shared=True):
        api.run(recipe, output=tmp_path / "cut", shard="1/2")


@pytest.mark.parametrize("of", [2, 5])
def test_a_target_is_the_first_so_many_whatever_the_cut(
    images: Path, tmp_path: Path, scripted_oasis: list[str], of: int
) -> None:
    options = {"input": images, "settings": [*scripted_oasis, "steps.hook.n=6", "target=9", "window=1"]}
    mminf.run("oasis", output=tmp_path / "whole", **options)
    for _ in range(5):
        shards("oasis", tmp_path / "cut", of, **options)  # type: ignore[arg-type]
        if (result := merge("oasis", tmp_path / "cut", **options)).state == "finished":
            break
    assert result.counts.done == 9
    assert (tmp_path / "cut" / "oasis.jsonl").read_bytes() == (tmp_path / "whole" / "oasis.jsonl").read_bytes()


def test_limits_and_bad_rows_count_over_all_shards(tmp_path: Path, recipe: Path) -> None:
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    lines[3] = "no json"
    lines[5] = lines[4]  # the same id twice
    lines[8] = '{"id": "r8", "images": [{"bytes": "no bytes"}]}'
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    whole = mminf.run(recipe, output=tmp_path / "whole", limit=11)
    for number in range(3):
        api.run(recipe, output=tmp_path / "cut", limit=11, shard=f"{number}/3")
    merge(recipe, tmp_path / "cut", limit=11)
    for number in range(3):
        api.run(recipe, output=tmp_path / "cut", limit=11, shard=f"{number}/3")
    cut = merge(recipe, tmp_path / "cut", limit=11)
    assert (cut.counts, cut.failures) == (whole.counts, whole.failures)
    assert whole.counts.failed == 2
    ids = [row["id"] for row in read_rows(tmp_path / "cut" / "out.jsonl")]
    assert ids == [row["id"] for row in read_rows(tmp_path / "whole" / "out.jsonl")]


def test_status_sees_shards_that_are_not_merged(recipe: Path, tmp_path: Path) -> None:
    api.run(recipe, output=tmp_path / "cut", shard="0/2")
    found = api.status(tmp_path / "cut")
    settled = sum(1 for n in range(20) if Shard(0, 2).owns(f"r{n}"))
    assert (found["total"], found["pending"], found["parts"]) == (20, 20 - settled, {"00000-of-00002": "finished"})
    assert found["steps"]["first"]["calls"] == settled
    mine = next(f"r{n}" for n in range(20) if Shard(0, 2).owns(f"r{n}"))
    assert api.show(tmp_path / "cut", mine)["calls"]
    api.run(recipe, output=tmp_path / "cut", shard="1/2")
    assert api.status(tmp_path / "cut")["pending"] == 0
    merge(recipe, tmp_path / "cut")
    assert api.status(tmp_path / "cut")["parts"] == {}


def test_a_shard_goes_on_where_it_was_stopped(recipe: Path, tmp_path: Path, calls_log: Path) -> None:
    api.run(recipe, output=tmp_path / "cut", shard="0/2")
    made = calls_log.read_text()
    api.run(recipe, output=tmp_path / "cut", shard="0/2")
    assert calls_log.read_text() == made
    with sqlite3.connect(tmp_path / "cut" / "parts" / "00000-of-00002" / "journal.sqlite") as journal:
        assert journal.execute("SELECT count(*) FROM memo").fetchone()[0] == len(made.splitlines())


def test_failed_records_of_shards_can_be_retried(recipe: Path, tmp_path: Path) -> None:
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    lines[0] = lines[0].replace("say 0", "refuse")
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    for number in range(2):
        api.run(recipe, output=tmp_path / "cut", shard=f"{number}/2")
    assert api.retry(tmp_path / "cut") == 1
    (tmp_path / "echo.py").write_text(ECHO.replace('"refuse" in text', "False"))
    assert mminf.run(recipe, output=tmp_path / "cut").counts.failed == 0


def test_shards_of_another_recipe_do_not_mix_with_what_was_finished(
    recipe: Path, tmp_path: Path, calls_log: Path
) -> None:
    mminf.run(recipe, output=tmp_path / "cut")
    before = (tmp_path / "cut" / "out.jsonl").read_bytes()
    other = {"steps.split.enabled": False, "steps.third.enabled": False, "seed": 7}
    for number in range(2):
        api.run(recipe, output=tmp_path / "cut", shard=f"{number}/2", overrides=other)
    calls_log.write_text("")
    again = mminf.run(recipe, output=tmp_path / "cut")
    assert (again.counts.done, again.counts.dropped) == (30, 5)
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == before
    assert calls_log.read_text() == ""
    mminf.run(recipe, output=tmp_path / "cut", overrides=other)
    assert len(calls_log.read_text().splitlines()) == 15, "what the shards asked is not asked again"


def test_what_unmerged_shards_did_is_not_counted_twice(recipe: Path, tmp_path: Path) -> None:
    mminf.run(recipe, output=tmp_path / "cut")
    for number in range(2):
        api.run(recipe, output=tmp_path / "cut", shard=f"{number}/2")
    found = api.status(tmp_path / "cut")
    assert (found["total"], found["pending"], found["dropped"]) == (20, 0, 0)
    merge(recipe, tmp_path / "cut")
    assert api.status(tmp_path / "cut")["dropped"] == 5


def test_a_part_may_be_merged_twice(recipe: Path, tmp_path: Path) -> None:
    """As after a crash between the merge of a part and its removal."""
    import shutil

    mminf.run(recipe, output=tmp_path / "whole")
    shards(recipe, tmp_path / "cut", 2)
    shutil.copytree(tmp_path / "cut" / "parts", tmp_path / "copy")
    merge(recipe, tmp_path / "cut")
    shutil.copytree(tmp_path / "copy", tmp_path / "cut" / "parts", dirs_exist_ok=True)
    assert mminf.run(recipe, output=tmp_path / "cut").counts.done == 30
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()


def test_an_export_of_unmerged_shards_says_what_to_do(recipe: Path, tmp_path: Path) -> None:
    api.run(recipe, output=tmp_path / "cut", shard="0/2")
    with pytest.raises(JournalError, match="not merged yet: `mminf merge`"):
        api.export(api.load(recipe), tmp_path / "cut")


def test_a_shard_killed_while_it_computes_anew_loses_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the main journal has is forgotten by a shard before it has anything in its place."""
    from mminf.journal.outcomes import Outcomes

    mminf.run(recipe, output=tmp_path / "whole")
    mminf.run(recipe, output=tmp_path / "cut")

    async def killed(self: Outcomes, rows: object) -> None:
        raise JournalError("killed")

    with monkeypatch.context() as patched, pytest.raises(JournalError, match="killed"):
        patched.setattr(Outcomes, "write", killed)
        api.run(recipe, output=tmp_path / "cut", shard="0/2", seed=5)
    for _ in range(2):
        shards(recipe, tmp_path / "cut", 2)
        result = merge(recipe, tmp_path / "cut")
    assert result.counts.done == 30
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()


def test_shards_of_an_input_that_changed_begin_anew(recipe: Path, tmp_path: Path) -> None:
    shards(recipe, tmp_path / "cut", 2)
    assert merge(recipe, tmp_path / "cut").state == "waiting"
    rows = [f'{{"id": "n{n}", "text": "say new {n}", "words": ["w{n}"]}}\n' for n in range(25)]
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    for _ in range(2):
        shards(recipe, tmp_path / "cut", 2)
        result = merge(recipe, tmp_path / "cut")
    assert (result.state, result.counts.done) == ("finished", 25)


def test_status_of_a_run_that_waits_for_its_shards(recipe: Path, tmp_path: Path) -> None:
    shards(recipe, tmp_path / "cut", 2)
    merge(recipe, tmp_path / "cut")
    assert api.status(tmp_path / "cut")["state"] == "waiting"


def test_all_parts_are_free_before_any_is_merged(recipe: Path, tmp_path: Path) -> None:
    from mminf.journal.lock import hold

    for number in range(2):
        api.run(recipe, output=tmp_path / "cut", shard=f"{number}/2")
    with hold(tmp_path / "cut" / "parts" / "00001-of-00002"), pytest.raises(JournalError, match="another run"):
        mminf.run(recipe, output=tmp_path / "cut")
    assert (tmp_path / "cut" / "parts" / "00000-of-00002" / "journal.sqlite").is_file()


def test_a_merge_may_be_repeated(recipe: Path, tmp_path: Path) -> None:
    """A scheduler may start it again."""
    with pytest.raises(JournalError, match="no shards in"):
        merge(recipe, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    shards(recipe, tmp_path / "cut", 2)
    assert merge(recipe, tmp_path / "cut").counts.waiting == 15
    assert merge(recipe, tmp_path / "cut").state == "waiting", "the shards must continue"
    shards(recipe, tmp_path / "cut", 2)
    first = merge(recipe, tmp_path / "cut")
    data = (tmp_path / "cut" / "out.jsonl").read_bytes()
    (tmp_path / "cut" / "out.jsonl").unlink()
    assert merge(recipe, tmp_path / "cut").counts == first.counts
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == data
    assert not (tmp_path / "cut" / "parts").exists()
    with pytest.raises(JournalError, match="no finished run of this recipe with these options"):
        merge(recipe, tmp_path / "cut", seed=3)


@pytest.mark.usefixtures("own_plugins")
def test_ids_in_several_shards_are_told(recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A plugin's source may cut its input as it likes."""
    (tmp_path / "cutting.py").write_text(CUTTING)
    text = recipe.read_text().replace("name: barrier", f"name: barrier\nplugins: [{tmp_path}/cutting.py]")
    text = text.replace("  - deduplicate: {reads: [first], method: exact}\n", "")
    recipe.write_text(text.replace("{jsonl: rows.jsonl}", "{cutting: rows.jsonl}"))
    shards(recipe, tmp_path / "cut", 2)
    merge(recipe, tmp_path / "cut")
    told = "shard 1/2 has ids of records of earlier shards (1, such as same), which its records replace: the source"
    assert told in caplog.text
