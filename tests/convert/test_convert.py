"""`mminf convert`: configurations of MM-INF become recipes, and nothing that is not converted is left out in silence."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mminf_plugins.demo.scenes import draw_scenes, scene_name
from mminf_plugins.demo.world import explain, make_scene
from mminf_plugins.drawn.source import question

import mminf
from mminf.convert.known import KNOWN
from mminf.convert.steps import escape, split_places
from mminf.errors import RecipeError
from mminf.template import Template

from ..cli.typed import error_of, output_of
from .project import BEGIN, DESCRIBE, FUNCTIONS, OLD, SHIPPED, TEXT, VL, body, converted, shipped


def test_models_prompts_and_fields_are_converted(project: Path) -> None:
    found = converted(project)
    engines = found.recipe["engines"]
    assert list(engines) == ["qwen2_5_vl_7b_instruct", "qwen2_5_7b_instruct"], "equal models are one engine"
    assert engines["qwen2_5_vl_7b_instruct"] == {
        "backend": "vllm",
        "model": "models/Qwen2.5-VL-7B-Instruct",
        "max_model_len": 8192,
        "options": {"engine_kwargs": {"swap_space": 4}},
    }
    caption = body(found, "caption")
    assert caption["prompt"] == '{{ images }}Describe this image as JSON {"caption": "..."}.'
    assert caption["sampling"] == {"max_tokens": 1024, "temperature": 0.5}
    assert caption["writes"] == "caption"
    ask = body(found, "ask")
    assert ask["system"] == "You write questions."
    text = found.templates[ask["template"]]
    assert text == "A caption:\n{{ caption }}\nAsk about {{ topic }}, as {'q': '{}'}.\n", "without images"
    assert body(found, "respond")["writes"] == "response"
    assert {"set": {"name": "caption_fields", "fields": {"seen": "caption"}}} in found.recipe["steps"]


def test_what_is_not_converted_is_told_with_its_line(project: Path) -> None:
    result = converted(project)
    assert "caption: key 'limit_mm_per_prompt', which has no effect in MM-INF, was left out" in result.told
    decide = "\n".join(result.decide)
    assert "caption: request_args.best_of is not a sampling setting" in decide
    lines = FUNCTIONS.splitlines()
    assert f"ask: mine.py:{lines.index(' ' * 16 + 'continue') + 1} leaves rows out: '?' not in last_resp" in decide
    passed = lines.index(" " * 16 + "data['query_items'] = [question]") + 1
    assert f"ask: mine.py:{passed} passes a computed value to the next prompt: question" in decide
    assert f"ask: mine.py:{passed + 1} writes several rows per row" in decide
    assert "replace 'DECIDE_respond_1' by it" in decide
    assert "undecided" in converted(project).recipe["note"], "every run says so"


def test_without_the_code_every_value_is_undecided(project: Path) -> None:
    found = converted(project, code=False)
    assert "prompt_func.mine.ask: name its folder with --code" in "\n".join(found.decide)
    assert sum("was not read" in line for line in found.decide) == 4
    assert "DECIDE_ask" in body(found, "ask")["prompt"]


def test_the_command_writes_a_valid_recipe(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = output_of("convert", "config/mine.yaml", "--code", ".", "--to", "new")
    assert "wrote new/mine.yaml and 1 template" in text
    assert "decide:" in text and "mminf run new/mine.yaml --output mine_dir" in text
    recipe = yaml.safe_load(Path("new/mine.yaml").read_text())
    assert recipe["source"] == {"jsonl": {"path": "../input.jsonl"}}
    assert "# DECIDE respond" in Path("new/mine.yaml").read_text()
    with pytest.raises(RecipeError, match="step 'respond' reads 'DECIDE_respond_1', which is not decided yet"):
        mminf.validate("new/mine.yaml")
    mminf.load("new/mine.yaml")
    text = Path("new/mine.yaml").read_text()
    Path("new/decided.yaml").write_text(re.sub(r"DECIDE_\w+", "topic", text))
    mminf.validate("new/decided.yaml")
    assert "new/mine.yaml exists" in error_of("convert", "config/mine.yaml", "--to", "new")
    output_of("convert", "config/mine.yaml", "--to", "new", "--force")


def test_an_undecided_value_stops_the_run_before_a_model_is_loaded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    output_of("convert", "config/mine.yaml", "--code", ".", "--to", "new")
    (project / "input.jsonl").write_text('{"topic": "colours"}\n')
    with pytest.raises(RecipeError, match="reads 'DECIDE_respond_1', which is not decided yet"):
        mminf.run("new/mine.yaml", output="out", progress=False)


def row_of_mminf(number: int) -> dict[str, str]:
    """A row as in the input of MM-INF, about a drawn scene."""
    scene = make_scene(number)
    asked = question(scene)
    return {"image": scene_name(number), "instruction": asked, "response": explain(asked, scene)}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_configuration_becomes_a_bundled_recipe_that_runs(name: str, project: Path) -> None:
    module, steps = SHIPPED[name]
    (project / f"config/{name}.yaml").write_text(shipped(module, steps))
    draw_scenes(project, range(8))
    (project / "input.jsonl").write_text("".join(json.dumps(row_of_mminf(n)) + "\n" for n in range(8)))
    known = KNOWN[f"pp_func.{module}"]
    text = output_of("convert", str(project / f"config/{name}.yaml"), "--to", str(project / "new"))
    assert f"the bundled recipe '{known.recipe}' with your models" in " ".join(text.split())
    assert "--output 'out dir'" in text and "tensor_parallel_size" in text
    recipe = project / "new" / f"{name}.yaml"
    loaded, bundled = mminf.load(recipe), mminf.load(known.recipe)
    assert [step.name for step in loaded.steps] == [step.name for step in bundled.steps]
    for engine, step in known.engines.items():
        assert loaded.engines[engine].model == steps[step][0]
        ours, theirs = (getattr(one.engines[engine], "max_pixels", None) for one in (loaded, bundled))
        assert ours == theirs
    script = {f"engines.{engine}": {"backend": "demo_script"} for engine in loaded.engines}
    result = mminf.run(recipe, output=project / "out", overrides=script, progress=False)
    assert result.counts.failed == 0, result.failures
    assert result.counts.done > 0


def test_the_hook_of_oasis_has_a_model_of_its_own(project: Path) -> None:
    (project / "config/oasis.yaml").write_text(shipped(*SHIPPED["oasis"]))
    output_of("convert", str(project / "config/oasis.yaml"), "--to", str(project / "new"))
    loaded = mminf.load(project / "new/oasis.yaml")
    models = {step.name: loaded.engines[step.engine].model for step in loaded.steps if step.engine}
    assert (models["hook"], models["classify"], models["respond"]) == (OLD, TEXT, VL)


def test_settings_that_a_bundled_recipe_does_not_take_over_are_told(project: Path) -> None:
    config = shipped(*SHIPPED["caption_gen"]).replace(DESCRIBE, "Only count the animals.")
    more = "  sys_prompt: In French.\n  request_args: {max_tokens: 16}\n"
    (project / "config/c.yaml").write_text(config.rstrip() + "\n" + more)
    text = " ".join(output_of("convert", str(project / "config/c.yaml"), "--to", str(project / "new")).split())
    assert "decide: caption: request_args is not converted" in text
    assert "decide: caption: sys_prompt is not converted" in text
    assert "a prompt of its own instead of 'Only count the animals.'" in text


def test_a_part_of_a_shipped_configuration_is_converted_step_by_step(project: Path) -> None:
    module, steps = SHIPPED["oasis"]
    config = shipped(module, {name: steps[name] for name in ("pre_process", "hooking", "inst_extract")})
    (project / "config/part.yaml").write_text(config.replace("oasis: true", "oasis: true\n  sys_prompt: Be kind."))
    text = output_of("convert", str(project / "config/part.yaml"), "--to", str(project / "new"))
    assert "bundled recipe" not in text
    hook = next(step for step in mminf.load(project / "new/part.yaml").steps if step.type == "hook")
    assert hook.config.system == "Be kind."
    assert "qwen2.5-vl" in hook.config.sampling_for


def test_a_filter_that_is_not_converted_stops_the_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    lines = "            if 'no' in last_resp:\n                continue\n            f.write(json.dumps(data))\n"
    (project / "pp_func/filter.py").write_text(BEGIN + lines)
    (project / "config/f.yaml").write_text(
        "base_config: {input_file: input.jsonl}\none: {model_id_or_path: m, prompt: Go on., pp_func: pp_func.filter.pp}\n"
    )
    output_of("convert", "config/f.yaml", "--code", ".", "--to", "new")
    overrides = {"engines.m": {"backend": "scripted", "answer": "hi"}, "steps.one.images": False}
    with pytest.raises(RecipeError, match="step 'decide_one' reads 'DECIDE_one_function', which is not decided yet"):
        mminf.run("new/f.yaml", output="out", overrides=overrides, progress=False)
    decided = {**overrides, "steps.decide_one": "'no' not in one"}
    (project / "input.jsonl").write_text('{"id": "a"}\n')
    assert mminf.run("new/f.yaml", output="out", overrides=decided, progress=False).counts.done == 1


def test_two_steps_whose_names_become_equal_stay_two(project: Path) -> None:
    steps = "".join(f"{name}: {{model_id_or_path: m, prompt: {name}}}\n" for name in ("a-b", "a_b", "class"))
    (project / "config/twins.yaml").write_text(f"base_config: {{input_file: input.jsonl}}\n{steps}")
    output_of("convert", str(project / "config/twins.yaml"), "--to", str(project / "new"))
    loaded = mminf.load(project / "new/twins.yaml")
    assert [step.name for step in loaded.steps] == ["a_b", "a_b_2", "s_class"]


def test_the_old_value_and_the_answer_are_both_in_the_rows(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (project / "pp_func/swap.py").write_text(
        BEGIN.lstrip() + "            user_data['old'] = user_data['text']\n            user_data['text'] = last_resp\n"
        "            data['query_items'] = [user_data['old'], last_resp]\n            f.write(json.dumps(data))\n"
    )
    (project / "config/swap.yaml").write_text(
        "base_config: {input_file: input.jsonl}\n"
        "one: {model_id_or_path: m, prompt: Go on., pp_func: pp_func.swap.pp}\n"
        "two: {model_id_or_path: m, prompt: 'Old {} and new {}'}\n"
    )
    (project / "input.jsonl").write_text('{"id": "a", "text": "OLD"}\n')
    output_of("convert", "config/swap.yaml", "--code", ".", "--to", "new")
    (project / "s.py").write_text(
        "def answer(request):\n    return 'NEW' if 'Go on' in request.turns[-1].text else request.turns[-1].text\n"
    )
    engine = {"backend": "scripted", "script": str(project / "s.py")}
    overrides = {"engines.m": engine, "steps.one.images": False}
    mminf.run("new/swap.yaml", output="out", overrides=overrides, progress=False)
    row = json.loads((project / "out/rows.jsonl").read_text())
    assert (row["old"], row["text"], row["two"]) == ("OLD", "NEW", "Old OLD and new NEW")


@pytest.mark.parametrize("prompt", ["'{{{{ topic }}}} {{# note #}}'", "'\\boxed{{{}}}'", "'{{% if x %}}{}'", "'{{{}'"])
def test_a_prompt_is_sent_as_str_format_makes_it(prompt: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (project / "config/p.yaml").write_text(
        "base_config: {input_file: input.jsonl}\n"
        "one: {model_id_or_path: m, prompt: Go on., pp_func: pp_func.mine.pp}\n"
        f"two: {{model_id_or_path: m, prompt: {prompt}}}\n"
    )
    text = yaml.safe_load(prompt)
    items = "[last_resp]" if "{}" in text.replace("{{", "").replace("}}", "") else "[]"
    body_of = (
        f"            query_items = {items}\n            user_data['response'] = last_resp\n            f.write('x')\n"
    )
    (project / "pp_func/mine.py").write_text(BEGIN + body_of)
    try:
        wanted = text.format("hi")
    except ValueError:
        pytest.skip("MM-INF refuses this prompt")
    output_of("convert", "config/p.yaml", "--code", ".", "--to", "new")
    (project / "s.py").write_text(
        "def answer(request):\n    return 'hi' if 'Go on' in request.turns[-1].text else request.turns[-1].text\n"
    )
    engine = {"backend": "scripted", "script": str(project / "s.py")}
    (project / "input.jsonl").write_text('{"id": "a", "topic": "colours"}\n')
    overrides = {"engines.m": engine, "steps.one.images": False}
    mminf.run("new/p.yaml", output="out", overrides=overrides, progress=False)
    assert json.loads((project / "out/rows.jsonl").read_text())["two"] == wanted


def test_templates_of_two_recipes_in_a_folder_are_apart(project: Path) -> None:
    for name in ("one", "two"):
        (project / f"config/{name}.yaml").write_text(
            f'base_config: {{input_file: input.jsonl}}\ncaption: {{model_id_or_path: m, prompt: "{name}\\nmore"}}\n'
        )
        output_of("convert", str(project / f"config/{name}.yaml"), "--to", str(project / "new"))
    assert (project / "new/templates/one/caption.jinja").read_text() == "{{ images }}one\nmore\n"
    assert "configuration itself" in error_of(
        "convert", str(project / "config/one.yaml"), "--to", str(project / "config"), "--force"
    )


def test_a_missing_input_is_told(project: Path) -> None:
    (project / "input.jsonl").unlink()
    text = output_of("convert", str(project / "config/mine.yaml"), "--code", str(project), "--to", str(project / "new"))
    assert "the input file 'input.jsonl' was not found" in " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "can't be read"),
        ("- a\n", "has no base_config"),
        ("base_config: {save_dir: x}\n", "has no base_config with input_file"),
        ("base_config: {input_file: a}\nstep: 3\n", "step 'step' is not a mapping, but int"),
        ("base_config: {input_file: a}\nstep: {pp_func: a.b}\n", "no step has a model_id_or_path"),
        ("name: oasis\nsource: {images: x}\n", "not a configuration of MM-INF"),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert message in error_of("convert", str(tmp_path / "c.yaml")).replace("\n", " ")


def test_a_file_that_can_not_be_read_is_told_without_a_number(tmp_path: Path) -> None:
    for name in ("none.yaml", "."):
        error = error_of("convert", str(tmp_path / name)).replace("\n", " ")
        assert "can't be read: " in error and "Errno" not in error


PIECES = st.text(st.sampled_from(string.ascii_lowercase + "{}%#-' \n\"\\"), max_size=30)


@settings(deadline=None)
@given(PIECES)
def test_braces_of_a_prompt_are_text_in_its_template(text: str) -> None:
    shown = "".join(part for part in Template(f"a{escape(text)}b").render({})[0].parts if isinstance(part, str))
    assert shown == f"a{text}b"


@settings(deadline=None)
@given(st.lists(st.sampled_from(["{}", "{{", "}}", "word", " ", "\n", "é"]), max_size=12))
def test_places_are_those_of_str_format(pieces: list[str]) -> None:
    prompt = "".join(pieces)
    values = [f"<{number}>" for number in range(prompt.replace("{{", "").replace("}}", "").count("{}"))]
    try:
        wanted = prompt.format(*values)
    except (ValueError, IndexError):
        return
    parts = split_places(prompt)
    assert "".join(values[part] if isinstance(part, int) else part for part in parts) == wanted


def test_an_absolute_input_stays_as_given_and_the_folder_of_images_is_told(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path_factory.mktemp("elsewhere")
    (rows / "link.jsonl").symlink_to(project / "input.jsonl")
    config = (project / "config/mine.yaml").read_text().replace("input.jsonl", str(rows / "link.jsonl"))
    (project / "config/mine.yaml").write_text(config)
    monkeypatch.chdir(rows.parent)
    told = output_of("convert", str(project / "config/mine.yaml"), "--code", str(project), "--to", str(project / "new"))
    source = yaml.safe_load((project / "new/mine.yaml").read_text())["source"]["jsonl"]
    assert (source["path"], source["image_root"]) == (str(rows / "link.jsonl"), str(rows.parent))
    assert f"changed: `image_root: {rows.parent}`: relative paths of images start in the folder in which" in told
