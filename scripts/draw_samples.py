"""Draws the sample images of `make demo`: scenes with known truth. The name of a file contains the seed of its scene.

python scripts/draw_samples.py demo/images --count 24 --first 0
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mminf_plugins.demo.scenes import draw_scenes

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene")
    arguments = parser.parse_args()
    draw_scenes(arguments.folder, range(arguments.first, arguments.first + arguments.count))
