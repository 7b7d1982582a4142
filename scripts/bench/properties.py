"""Measures `mminf properties`: seconds and peak memory for drawn rows. No model is involved.

    python scripts/bench/properties.py [few] [lines] [array] [tokens] [exact] [--rows 100000] [--spacy-model NAME]

A row has an English or Chinese instruction of 12 words on average, a response of 70 words, and one of 2,000 JPEG files
of 640x480 pixels. A fifth of the responses repeat an earlier one, with one word changed. The same rows are written as
JSON Lines and as one JSON array. The part `few` is a tenth of the rows, whose peak memory shows whether memory grows.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mminf_plugins.demo.world import draw_scene, make_scene

PARTS: dict[str, tuple[str, ...]] = {
    "few": ("few.jsonl",),
    "lines": ("rows.jsonl",),
    "array": ("rows.json",),
    "tokens": ("rows.jsonl", "--tokenizer", "builtin:demo"),
    "exact": ("rows.jsonl", "--exact"),
}
FILES, WORDS = 2_000, 30_000
VERBS = ("Describe", "Count", "List", "Compare", "Explain", "Read", "Identify", "Summarize", "What is", "Where is")
NOUNS = ("image", "chart", "sign", "person", "table", "scene", "number", "object", "text", "building")
CHINESE = "请描述这张图片中的人物和背景图表里哪个月份销售额最高桌上有几个红苹果"


def write_images(folder: Path) -> list[str]:
    """Writes the images and returns their paths."""
    folder.mkdir()
    paths = []
    for number in range(FILES):
        path = folder / f"{number:05}.jpg"
        draw_scene(make_scene(number)).convert("RGB").resize((640, 480)).save(path, quality=85)
        paths.append(str(path))
    return paths


def draw_rows(number: int, images: list[str]) -> Iterator[dict[str, object]]:
    """Yields rows. The frequencies of words fall as in natural texts."""
    draw = random.Random(0)
    words = [f"{draw.choice('bcdfglmprst')}{draw.choice('aeiou')}{index:x}" for index in range(WORDS)]
    weights = [1 / (index + 2) for index in range(WORDS)]
    pool = draw.choices(words, weights, k=1_000_000)
    said: list[str] = ["the first answer"]
    for index in range(number):
        start = draw.randrange(len(pool) - 200)
        some = pool[start : start + draw.randrange(3, 16)]
        asked = f"{draw.choice(VERBS)} the {draw.choice(NOUNS)} of the {' '.join(some)}."
        if index % 5 == 0:
            asked = "".join(draw.choices(CHINESE, k=12)) + "？"
        if index % 5 == 1:
            answer = f"{draw.choice(said)} {draw.choice(words)}"
        else:
            answer = f"The {draw.choice(NOUNS)} shows {' '.join(pool[start : start + draw.randrange(20, 120)])}."
            said = [*said[-999:], answer]
        chat = [{"role": "user", "content": f"<image>{asked}"}, {"role": "assistant", "content": answer}]
        yield {"id": str(index), "messages": chat, "images": [draw.choice(images)]}


def run(path: Path, *options: str) -> str:
    """Returns CPU seconds, wall seconds and peak memory of the command as text."""
    command = [sys.executable, "-m", "mminf.cli.main", "properties", str(path), "--json", *options]
    child = f"""
import resource, subprocess
code = subprocess.run({command!r}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
    code, cpu, peak = out.split()
    assert code == "0", f"mminf properties {path} failed"
    return f"{float(cpu):.0f} CPU-s, {time.perf_counter() - start:.0f} s, {int(peak) / 1024:.0f} MB"


def main() -> None:
    """Prints one line per part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--spacy-model", default="en_core_web_sm")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = list(draw_rows(given.rows, write_images(folder / "images")))
        few = given.rows // 10
        for name, part in (("few.jsonl", rows[:few]), ("rows.jsonl", rows)):
            (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part))
        (folder / "rows.json").write_text(json.dumps(rows, ensure_ascii=False))
        del rows
        for part in given.parts:
            name, *options = PARTS[part]
            number = few if part == "few" else given.rows
            found = run(folder / name, "--spacy-model", given.spacy_model, *options)
            print(f"{part}: {number:,} rows, {' '.join(PARTS[part])}: {found}", flush=True)


if __name__ == "__main__":
    main()
