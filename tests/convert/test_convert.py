"""`mminf convert`: configurations of MM-INF become recipes, and nothing that is not converted is left out in silence."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import mminf
from mminf.convert import Code, Converted, convert_config, load_config
from mminf.convert.config import _split_places, escape
from mminf.convert.functions import LAST
from mminf.convert.known import KNOWN
from mminf.errors import RecipeError, UsageError
from mminf.template import Template

from ..cli.typed import error_of, output_of

CONFIG = """
base_config: {input_file: input.jsonl, save_dir: mine_dir}
pre_process: {model_id_or_path: null, pp_func: pp_func.mine.pre}
caption:
  model_id_or_path: models/Qwen2.5-VL-7B-Instruct
  limit_mm_per_prompt: {image: 5}
  model_args: {max_model_len: 8192, swap_space: 4}
  prompt: 'Describe <image>this image as JSON {{"caption": "..."}}.'
  request_args: {temperature: 0.5, best_of: 2}
  pp_func: pp_func.mine.caption_pp
ask:
  model_id_or_path: models/Qwen2.5-7B-Instruct
  sys_prompt: You write questions.
  prompt: prompt_func.mine.ask
  pp_func: [pp_func.mine.ask_pp]
respond:
  model_id_or_path: models/Qwen2.5-VL-7B-Instruct
  model_args: {max_model_len: 8192, swap_space: 4}
  prompt: "{}"
  pp_func: pp_func.mine.respond_pp
"""
FUNCTIONS = """
import json
from utils import load_data

def pre(step_name, input_file, output_file):
    with open(output_file, 'w') as f:
        for i, data in enumerate(load_data(input_file)):
            user_data = data['user_data']
            query_items, images, videos = [], [], []
            user_data['images'] = [user_data['image']]
            images = user_data['images']
            data['query_items'], data['images'] = query_items, images
            f.write(json.dumps(data))

def caption_pp(step_name, input_file, output_file):
    with open(output_file, 'w') as f:
        for data in load_data(input_file):
            last_resp = get_last_resp(data, step_name)
            history, user_data = data['history'], data['user_data']
            query_items, images = [], []
            user_data['caption'] = last_resp
            user_data['seen'] = last_resp
            query_items = [last_resp, user_data['topic']]
            data['query_items'], data['images'] = query_items, images
            f.write(json.dumps(data))

def ask_pp(step_name, input_file, output_file):
    with open(output_file, 'w') as f:
        for data in load_data(input_file):
            last_resp = get_last_resp(data, step_name)
            data['images'] = data['user_data']['images']
            if '?' not in last_resp:
                continue
            for question in last_resp.split('\\n'):
                data['query_items'] = [question]
                f.write(json.dumps(data))

def respond_pp(step_name, input_file, output_file):
    with open(output_file, 'w') as f:
        for data in load_data(input_file):
            data['user_data']['response'] = get_last_resp(data, step_name).strip()
            f.write(json.dumps(data))
"""
PROMPTS = """
print("a module may print")

def ask(caption, topic):
    return f"A caption:\\n{caption}\\nAsk about {topic}, as {{'q': '{{}}'}}."

def number(value):
    return 3

def broken(value):
    raise RuntimeError("no template")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {
        "config/mine.yaml": CONFIG,
        "pp_func/mine.py": FUNCTIONS,
        "prompt_func/mine.py": PROMPTS,
        "input.jsonl": json.dumps({"image": "a.png", "topic": "colours"}) + "\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def converted(project: Path, *, code: bool = True) -> Converted:
    return convert_config(load_config(project / "config/mine.yaml"), code=Code(project) if code else None)


def body(found: Converted, name: str) -> dict[str, Any]:
    steps = [next(iter(step.values())) for step in found.recipe["steps"]]
    return next(step for step in steps if step.get("name") == name)


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
    decide = "\n".join(converted(project).decide)
    assert "caption: key 'limit_mm_per_prompt' has no effect in MM-INF" in decide
    assert "caption: request_args.best_of is not a sampling setting" in decide
    lines = FUNCTIONS.splitlines()
    assert f"ask: mine.py:{lines.index(' ' * 16 + 'continue') + 1} leaves rows out: '?' not in last_resp" in decide
    passed = lines.index(" " * 16 + "data['query_items'] = [question]") + 1
    assert f"ask: mine.py:{passed} passes a computed value to the next prompt: question" in decide
    assert f"ask: mine.py:{passed + 1} writes several rows per row" in decide
    assert "replace 'undecided_respond_1' by it" in decide
    assert "undecided" in converted(project).recipe["note"], "every run says so"


def test_without_the_code_every_value_is_undecided(project: Path) -> None:
    found = converted(project, code=False)
    assert "prompt_func.mine.ask: name its folder with --code" in "\n".join(found.decide)
    assert sum("was not read" in line for line in found.decide) == 4
    assert "undecided_ask_1" in body(found, "ask")["prompt"]


def test_the_command_writes_a_valid_recipe(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = output_of("convert", "config/mine.yaml", "--code", ".", "--to", "new")
    assert "wrote new/mine.yaml and 1 template" in text
    assert "decide:" in text and "mminf run new/mine.yaml --output mine_dir" in text
    recipe = yaml.safe_load(Path("new/mine.yaml").read_text())
    assert recipe["source"] == {"jsonl": "../input.jsonl"}
    assert "# DECIDE respond" in Path("new/mine.yaml").read_text()
    mminf.validate("new/mine.yaml")
    assert "new/mine.yaml exists" in error_of("convert", "config/mine.yaml", "--to", "new")
    output_of("convert", "config/mine.yaml", "--to", "new", "--force")


def test_an_undecided_value_stops_the_run_before_a_model_is_loaded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    output_of("convert", "config/mine.yaml", "--code", ".", "--to", "new")
    (project / "input.jsonl").write_text('{"topic": "colours"}\n')
    with pytest.raises(RecipeError, match="reads field 'undecided_respond_1', but nothing provides it"):
        mminf.run("new/mine.yaml", output="out", progress=False)


@pytest.mark.parametrize("module", sorted(KNOWN))
def test_the_shipped_configurations_become_bundled_recipes(module: str, project: Path) -> None:
    known = KNOWN[module]
    steps = "".join(
        f"{step}: {{model_id_or_path: models/{step}, prompt: '{{}}', pp_func: {module}.{step}}}\n"
        for step in known.engines.values()
    )
    config = project / "config" / f"{known.recipe}.yaml"
    config.write_text(f"base_config: {{input_file: input.jsonl, save_dir: out}}\n{steps}")
    text = output_of("convert", str(config), "--to", str(project / "new"))
    assert f"the bundled recipe '{known.recipe}' with your models" in text.replace("\n", " ")
    loaded = mminf.load(project / "new" / f"{known.recipe}.yaml")
    assert {name: engine.model for name, engine in loaded.engines.items()} == {
        name: f"models/{step}" for name, step in known.engines.items()
    }
    assert [step.name for step in loaded.steps] == [step.name for step in mminf.load(known.recipe).steps]


def test_the_hook_of_oasis_may_have_a_model_of_its_own(project: Path) -> None:
    (project / "config/oasis.yaml").write_text(
        "base_config: {input_file: input.jsonl, save_dir: out}\n"
        "hooking: {model_id_or_path: models/old, prompt: '', oasis: true, pp_func: pp_func.oasis.hooking_pp}\n"
        "inst_extract: {model_id_or_path: models/text, prompt: '{}', pp_func: pp_func.oasis.inst_extract_pp}\n"
        "respond: {model_id_or_path: models/new, prompt: '{}', pp_func: pp_func.oasis.respond_pp}\n"
    )
    output_of("convert", str(project / "config/oasis.yaml"), "--to", str(project / "new"))
    loaded = mminf.load(project / "new/oasis.yaml")
    models = {step.name: loaded.engines[step.engine].model for step in loaded.steps if step.engine}
    assert (models["hook"], models["classify"], models["respond"]) == ("models/old", "models/text", "models/new")


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prompt_func.mine.number", "does not return a text, but int"),
        ("prompt_func.mine.broken", "RuntimeError: no template"),
        ("prompt_func.mine.missing", "has no attribute 'missing'"),
        ("prompt_func.other.ask", "No module named"),
    ],
)
def test_a_prompt_function_that_can_not_be_called_is_told(name: str, message: str, project: Path) -> None:
    with pytest.raises(UsageError, match=message):
        Code(project).prompt_function(name)


@pytest.mark.parametrize("name", ["pp_func.mine.missing", "pp_func.other.pre"])
def test_a_missing_post_function_is_told(name: str, project: Path) -> None:
    with pytest.raises(UsageError, match=r"no function|can't be read"):
        Code(project).post_function(name)


def test_a_post_function_is_not_run(project: Path) -> None:
    (project / "pp_func/mine.py").write_text(f"raise SystemExit('run')\n{FUNCTIONS}")
    found = Code(project).post_function("pp_func.mine.caption_pp")
    assert found.items == [LAST, "topic"]
    assert found.writes == {"caption": LAST, "seen": LAST}
    assert not found.images


TEXT = st.text(st.sampled_from(string.ascii_lowercase + "{}%#-' \n\"\\"), max_size=30)


@given(TEXT)
def test_braces_of_a_prompt_are_text_in_its_template(text: str) -> None:
    shown = "".join(part for part in Template(f"a{escape(text)}b").render({})[0].parts if isinstance(part, str))
    assert shown == f"a{text}b"


@given(st.lists(st.sampled_from(["{}", "{{", "}}", "word", " ", "\n", "é"]), max_size=12))
def test_places_are_those_of_str_format(pieces: list[str]) -> None:
    prompt = "".join(pieces)
    values = [f"<{number}>" for number in range(prompt.replace("{{", "").replace("}}", "").count("{}"))]
    try:
        wanted = prompt.format(*values)
    except (ValueError, IndexError):
        return
    parts = _split_places(prompt)
    assert "".join(values[part] if isinstance(part, int) else part for part in parts) == wanted
