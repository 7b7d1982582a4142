"""The folders of the journals of shards in an output folder, local or in a store."""

from __future__ import annotations

from pathlib import Path

from mminf.journal.schema import FILE, SHARDS
from mminf.shard import Shard


def shard_folder(output: Path, shard: Shard) -> Path:
    """Returns the folder of a shard's journal."""
    return output / SHARDS / shard.name


def list_shards(output: Path) -> list[Shard]:
    """Returns the shards in an output folder, local or in a store, whose journals are not merged yet."""
    folder = output / SHARDS
    if not folder.exists():
        return []
    found = [Shard.from_name(path.name) for path in folder.iterdir() if (path / FILE).exists()]
    return sorted((shard for shard in found if shard is not None), key=lambda shard: shard.name)


def shard_folders(output: Path) -> dict[Shard, Path]:
    """Returns the folders of the shards whose journals are not merged yet."""
    return {shard: shard_folder(output, shard) for shard in list_shards(output)}
