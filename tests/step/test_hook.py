from __future__ import annotations

from mminf.recipe.config import EngineConfig
from mminf.recipe.model import TemplateFolders
from mminf.step.hook import Hook, HookConfig

ENGINE = EngineConfig(backend="scripted", model="org/Qwen2-VL-7B")


def make_hook(**sampling_for: dict[str, object]) -> Hook:
    return Hook(HookConfig(engine="vlm", sampling_for=sampling_for), TemplateFolders([]))


def test_the_engine_decides_the_sampling() -> None:
    hook = make_hook(qwen2={"top_k": 5}, other={"top_k": 7})
    plain = hook.sampling
    hook.check_engine(object(), ENGINE)
    assert hook.sampling == plain, "a check changes nothing"
    hook.use_engine(ENGINE)
    assert hook.sampling == plain.model_copy(update={"top_k": 5})
    assert hook.describe()["sampling"]["top_k"] == 5


def test_later_settings_replace_earlier_ones() -> None:
    hook = make_hook(qwen2={"top_k": 5, "top_p": 0.5}, vl={"top_k": 7})
    hook.use_engine(ENGINE)
    assert (hook.sampling.top_k, hook.sampling.top_p) == (7, 0.5)
