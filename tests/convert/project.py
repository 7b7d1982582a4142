"""An MM-INF project of our own, and configurations of the shape that MM-INF ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mminf.convert import Code, Converted, convert_config, load_config
from mminf.plugin import discover

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

def ends(value):
    raise SystemExit(0)

def changed(value):
    return value[:3]

def lower(value):
    return "About " + value.lower()

def length(value):
    return f"{len(value)} letters: {value}"

def draws(value):
    import random
    return f"{random.random()} {value}"

def surrogate(value):
    return "\\ud800" + value

def defaults(value, language="French"):
    return f"In {language}: {value}."

def loud(value):
    import atexit
    atexit.register(print, "bye")
    return f"Say {value}"
"""

BEGIN = """
def pp(step_name, input_file, output_file):
    with open(output_file, 'w') as f:
        for data in load_data(input_file):
            last_resp = get_last_resp(data, step_name)
            user_data = data['user_data']
            query_items, images, videos = [], [], []
"""


def shipped(module: str, steps: dict[str, tuple[str | None, str]]) -> str:
    """Returns a configuration of the shape that MM-INF ships: step -> (model, prompt)."""
    lines = ["base_config:", "  input_file: input.jsonl", "  save_dir: out dir", ""]
    for name, (model, prompt) in steps.items():
        lines += [f"{name}:", f"  model_id_or_path: {model or 'null'}"]
        lines += [f"  prompt: {prompt!r}"] if model else []
        lines += ["  oasis: true"] if name == "hooking" else []
        lines += [f"  pp_func: pp_func.{module}.{name}_pp", ""]
    return "\n".join(lines)


VL, OLD, TEXT, REASONER = "M/Qwen2.5-VL-72B-Instruct", "M/Qwen2-VL-72B-Instruct", "M/Qwen2.5-72B-Instruct", "M/R1-32B"
DESCRIBE = "Please describe this image in detail."
SHIPPED: dict[str, tuple[str, dict[str, tuple[str | None, str]]]] = {
    "oasis": (
        "oasis",
        {
            "pre_process": (None, ""),
            "hooking": (OLD, ""),
            "inst_extract": (TEXT, "prompt_func.oasis_prompt.extract"),
            "solvable_score": (VL, "prompt_func.oasis_prompt.solvable"),
            "nonsense_score": (TEXT, "prompt_func.oasis_prompt.nonsense"),
            "respond": (VL, "{}"),
        },
    ),
    "VLThinking": (
        "VLThinking",
        {
            "preprocess": (None, ""),
            "caption": (VL, "prompt_func.VLThinking.caption"),
            "cot": (REASONER, "prompt_func.VLThinking.cot"),
            "rewrite": (TEXT, "prompt_func.VLThinking.rewrite"),
            "verify": (TEXT, "prompt_func.VLThinking.verify"),
        },
    ),
    "caption_gen": ("caption_gen", {"pre_process": (None, ""), "caption": (VL, DESCRIBE)}),
    "caption_conversation": (
        "caption_conv",
        {"caption": (VL, DESCRIBE), "question_generation": (TEXT, "Ask about {}"), "respond": (VL, "{}")},
    ),
    "caption_hallucination": (
        "caption_hall",
        {"caption": (VL, DESCRIBE), "devide": (TEXT, "Split {}"), "check": (VL, "Is {} right?")},
    ),
    "detailed_inst": ("detailed_inst", {"inst_gen": (TEXT, "prompt_func.detailed_inst_prompt.generate")}),
    "prompt_evolve": (
        "evolve",
        {
            "score": (TEXT, "prompt_func.match.score_prompt"),
            "feedback": (VL, "prompt_func.match.feedback_prompt"),
            "optimize": (TEXT, "prompt_func.match.optimize_prompt"),
            "re_respond": (VL, "{}"),
            "score_2": (TEXT, "prompt_func.match.score_prompt"),
        },
    ),
    "prompt_response_match_score": ("product_evolve", {"score": (TEXT, "prompt_func.match.score_prompt")}),
}
"""Name of a configuration -> module of its functions, and its steps."""


def converted(project: Path, *, code: bool = True) -> Converted:
    """What becomes of the configuration of the project."""
    discover()
    return convert_config(load_config(project / "config/mine.yaml"), "mine", code=Code(project) if code else None)


def body(found: Converted, name: str) -> dict[str, Any]:
    """The settings of a step, by its name."""
    steps = [next(iter(step.values())) for step in found.recipe["steps"]]
    return next(step for step in steps if step.get("name") == name)
