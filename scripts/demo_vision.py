"""The images of the demo model's training, and its vision tower for many images at once."""

from __future__ import annotations

from typing import Any

import torch
from demo_architecture import GRID, MERGE, PATCH, VISUAL_TOKENS
from mminf_plugins.demo.world import Scene, draw_scene
from torch import Tensor
from torch.nn import functional


def render(scenes: list[Scene], processor: Any) -> Tensor:
    """Returns the patches of the scenes' images: (scenes, 64, 588) bytes, as the model's own processor cuts them."""
    pixels = []
    for start in range(0, len(scenes), 256):
        images = [draw_scene(scene) for scene in scenes[start : start + 256]]
        made = processor(images=images, return_tensors="pt")["pixel_values"]
        frames = made.view(len(images), GRID * GRID, 3, 2, PATCH * PATCH)
        pixels.append(((frames[:, :, :, 0] + 1) * 127.5).round().to(torch.uint8).flatten(2))
    return torch.cat(pixels)


class Vision:
    """The vision tower of the model, for a batch of images of one size; that of transformers works image by image."""

    def __init__(self, model: Any) -> None:
        from transformers.models.qwen2_vl.modeling_qwen2_vl import get_vision_position_ids

        self.tower = model.model.visual
        grid = torch.tensor([[1, GRID, GRID]])
        places = get_vision_position_ids(grid, MERGE).to(model.device)
        self.cos, self.sin = self.tower.rotary_pos_emb(torch.zeros(1, device=model.device), places)

    def __call__(self, patches: Tensor) -> Tensor:
        """Returns features, (images, 16, hidden), of patches, (images, 64, 588) bytes."""
        from transformers.models.qwen2_vl.modeling_qwen2_vl import rotate_half

        tower, count = self.tower, len(patches)
        x = patches.float() / 127.5 - 1
        x = functional.linear(x, tower.patch_embed.proj.weight.sum(2).flatten(1))  # both frames are the same
        for block in tower.blocks:
            heads = block.attn.num_heads
            mixed = block.attn.qkv(block.norm1(x)).view(count, GRID * GRID, 3, heads, -1).permute(2, 0, 3, 1, 4)
            query, key = (part * self.cos + rotate_half(part) * self.sin for part in mixed[:2].unbind())
            seen = functional.scaled_dot_product_attention(query, key, mixed[2])
            x = x + block.attn.proj(seen.transpose(1, 2).flatten(2))
            x = x + block.mlp(block.norm2(x))
        return tower.merger(x.flatten(0, 1)).view(count, VISUAL_TOKENS, -1)
