"""What a user installs: a wheel, in an environment of its own, outside of any checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from ..conftest import ROOT, read_rows, subprocess_env


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if not tracked:
        pytest.skip("no git checkout: the tests were copied out of one")
    for name in tracked:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_recipes_templates_models_and_plugins(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for recipe in (ROOT / "recipes").glob("*.yaml"):
        assert f"mminf_content/recipes/{recipe.name}" in names
    for template in (path for path in (ROOT / "templates").rglob("*") if path.is_file()):
        assert f"mminf_content/templates/{template.relative_to(ROOT / 'templates').as_posix()}" in names
    for module in (*(ROOT / "mminf").rglob("*.py"), ROOT / "mminf" / "py.typed"):
        assert module.relative_to(ROOT).as_posix() in names
    for file in (ROOT / "models" / "demo").iterdir():
        assert f"mminf_content/models/demo/{file.name}" in names
    assert wheel.stat().st_size < 15e6
    for plugin in (path.parent for path in (ROOT / "plugins").glob("*/__init__.py")):
        for module in plugin.rglob("*.py"):
            assert f"mminf_plugins/{module.relative_to(ROOT / 'plugins').as_posix()}" in names
    assert not any(name.startswith(("tests/", "plugins/", "recipes/")) for name in names)


def test_it_runs_oasis_by_name_in_an_empty_folder(wheel: Path, tmp_path: Path, images: Path, script: Path) -> None:
    """A new environment gets the wheel; the 5 GB of its requirements are lent to it by this one's."""
    home = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next((home / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # A path in a .pth file lends packages, but not the finder of this checkout's editable install.
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    engine = f"{{backend: scripted, script: {script}}}"
    empty = tmp_path / "empty"
    empty.mkdir()
    python = str(home / "bin" / "python")
    where = subprocess.run(
        [python, "-c", "import mminf; print(mminf.__file__)"], capture_output=True, text=True, cwd=empty
    )
    assert where.stdout.startswith(str(site)), where
    command = [python, "-m", "mminf.cli.main", "run", "oasis", "--input", str(images), "--output", "out"]
    for name in ("vlm", "llm"):
        command += ["--set", f"engines.{name}={engine}"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=empty, env=subprocess_env(PYTHONPATH=""))
    assert found.returncode == 0, found.stderr
    assert read_rows(empty / "out" / "oasis.jsonl")
    listed = subprocess.run([python, "-m", "mminf.cli.main", "recipes"], capture_output=True, text=True, cwd=empty)
    assert "oasis" in listed.stdout
    commands = subprocess.run([python, "-m", "mminf.cli.main", "--help"], capture_output=True, text=True, cwd=empty)
    assert "\n  evaluate-demo " in commands.stdout, "a command of a plugin"
    recipe = subprocess.run(
        [python, "-c", "import mminf, json; print(json.dumps(mminf.load('oasis').resolved()))"],
        capture_output=True,
        text=True,
        cwd=empty,
    )
    assert json.loads(recipe.stdout)["name"] == "oasis"
    for name in sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml")):
        # Every template and text file that a recipe names is found, or it is no recipe.
        valid = subprocess.run(
            [python, "-m", "mminf.cli.main", "validate", name],
            capture_output=True,
            text=True,
            cwd=empty,
            env=subprocess_env(PYTHONPATH=""),
        )
        assert valid.returncode == 0, f"{name}: {valid.stdout}{valid.stderr}"
    model = subprocess.run(
        [
            python,
            "-c",
            "from mminf.backend import find_model as f; m = f('builtin:demo'); print(*(m.folder / n for n in m.files), sep='\\n')",
        ],
        capture_output=True,
        text=True,
        cwd=empty,
    )
    files = [Path(line) for line in model.stdout.split("\n") if line]
    assert len(files) == 4
    assert all(file.is_file() and file.is_relative_to(site) for file in files)
