from __future__ import annotations

import subprocess
import sys
from collections import Counter

from mminf_plugins.demo.world import Scene, draw_scene, make_scene
from mminf_plugins.demo.world.draw import SIZE
from mminf_plugins.demo.world.scene import COLOURS
from PIL import ImageColor

SCENES = [make_scene(seed) for seed in range(300)]


def test_a_seed_gives_one_scene_and_one_image_in_any_process() -> None:
    code = "import hashlib; from mminf_plugins.demo.world import *; s = make_scene(7); print(s, hashlib.sha256(draw_scene(s).tobytes()).hexdigest())"
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert str(make_scene(7)) in runs.pop()


def test_all_kinds_are_drawn() -> None:
    kinds = Counter(scene.kind for scene in SCENES)
    assert kinds["figures"] > 120
    assert min(kinds["sign"], kinds["chart"]) > 30
    assert {len(scene.figures) for scene in SCENES if scene.kind == "figures"} == {1, 2, 3, 4}
    assert {len(scene.bars) for scene in SCENES if scene.kind == "chart"} == {2, 3, 4}
    assert {scene.is_number for scene in SCENES if scene.kind == "sign"} == {True, False}


def test_colours_tell_things_apart() -> None:
    for scene in SCENES:
        for things in (scene.figures, scene.bars):
            assert len({thing.colour for thing in things}) == len(things)
        assert len({bar.value for bar in scene.bars}) == len(scene.bars)


def colours_in(scene: Scene, box: tuple[int, int, int, int]) -> set[str]:
    """Names of colours that fill at least 40 pixels of a box."""
    image = draw_scene(scene).crop(box)
    counts = Counter(image.getdata())
    return {name for name, code in COLOURS.items() if counts[ImageColor.getrgb(code)] >= 40}


def test_each_quarter_shows_its_figure_and_nothing_else() -> None:
    half = SIZE // 2
    for scene in SCENES[:80]:
        if scene.kind != "figures":
            continue
        for place, (column, row) in {
            "top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)
        }.items():  # fmt: skip
            box = (column * half, row * half, (column + 1) * half, (row + 1) * half)
            assert colours_in(scene, box) == {figure.colour for figure in scene.figures if figure.place == place}


def test_sizes_and_shapes_differ_in_area() -> None:
    areas: dict[tuple[str, str], list[int]] = {}
    for scene in SCENES:
        if len(scene.figures) == 1:
            figure = scene.figures[0]
            colour = ImageColor.getrgb(COLOURS[figure.colour])
            areas.setdefault((figure.shape, figure.size), []).append(Counter(draw_scene(scene).getdata())[colour])
    for shape in {shape for shape, _ in areas}:
        if len({size for known, size in areas if known == shape}) == 2:
            assert max(areas[shape, "small"]) < min(areas[shape, "large"])


def test_higher_bars_have_more_pixels() -> None:
    for scene in SCENES:
        if scene.kind == "chart":
            counts = Counter(draw_scene(scene).getdata())
            heights = [(bar.value, counts[ImageColor.getrgb(COLOURS[bar.colour])]) for bar in scene.bars]
            assert [value for value, _ in sorted(heights, key=lambda it: it[1])] == sorted(b.value for b in scene.bars)


def test_signs_show_their_colour() -> None:
    for scene in SCENES:
        if scene.kind == "sign":
            assert colours_in(scene, (0, 0, SIZE, SIZE)) == {scene.colour}
