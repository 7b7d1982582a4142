"""The demo: `builtin:demo`, a Qwen2-VL of a few megabytes that performs all tasks of Oasis on drawn scenes.

`scripts/train_demo_model.py` trains the model. Its card, log and evaluation are next to its weights in `models/demo`.
"""

from mminf import content_folder
from mminf.backend import BuiltinModel, register_model

DEMO = register_model(
    BuiltinModel(
        name="demo",
        folder=content_folder("models") / "demo",
        template="qwen2_vl",
        # A change of the model card or the log repeats no calls.
        files=("model.safetensors", "config.json", "tokenizer.json", "preprocessor_config.json"),
    )
)

__all__ = ["DEMO"]
