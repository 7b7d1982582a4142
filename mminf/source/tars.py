"""`webdataset`: tar shards in which the files of a sample are adjacent.

Format: webdataset documentation, "The WebDataset Format": the part of a name before the first dot is the sample's key.
"""

from __future__ import annotations

import logging
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from mminf.errors import shorten_text
from mminf.image import SUFFIXES
from mminf.limits import IMAGE_BYTES, SAMPLE_BYTES
from mminf.media import OTHER_MEDIA_ENDINGS
from mminf.recipe.config import SourceConfig
from mminf.record import Fields, Record
from mminf.shard import Shard
from mminf.source.base import BadRow, Numbered, Source, clean_id, load_json, source
from mminf.source.columns import ImageColumns, is_auxiliary
from mminf.source.reader import UNREADABLE, RowReader, named_columns
from mminf.storage import fingerprint_files, list_files, open_bytes

SPAN = 10**9
"""Maximum number of samples per tar file. A record's `seq` is: index of its file * SPAN + index in the file."""
log = logging.getLogger("mminf")
HEADER_BYTES = 2**20
REFUSED = "refused"
_TEXTS = frozenset({"txt", "text", "caption", "cls", "transcript"})


@source("webdataset")
class WebDataset(Source):
    """Tar shards (a file, a folder, or a pattern), each read sequentially.

    `.json` becomes fields. Images become `images` (extracted below the output folder). `.txt`, `.caption` and `.cls`
    become text fields of that name. Other files are left out. A record's id is `shard/key`.

    In a run of several shards, whole tar files are assigned to the shards if there are at least two per shard. Then no
    shard reads the files of another.
    """

    cuts = True
    gaps = True

    def __init__(self, config: SourceConfig, base: Path, scratch: Path) -> None:
        super().__init__(config, base, scratch)
        self._told: set[str] = set()

    def check(self) -> None:
        super().check()
        self._files()

    def fingerprint(self) -> str | None:
        return fingerprint_files(self._files())

    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        files = self._files()
        by_file = shard is not None and len(files) >= 2 * shard.count
        for number, file in enumerate(files):
            if not by_file or _owns(shard, file.name):
                yield from self._read_tar(file, number * SPAN, None if by_file else shard)

    def _files(self) -> list[Path]:
        return list_files(self.path, (".tar", ".tar.gz", ".tgz"))

    def _read_tar(self, file: Path, first: int, shard: Shard | None) -> Iterator[Record | BadRow]:
        number = 0
        reader = RowReader(
            Numbered(self.config.id),
            ImageColumns(),
            renamed=self.config.columns,
            scratch=self.scratch,
            told=self._told,
        )
        try:
            seen: dict[str, int] = {}
            for number, (key, members) in enumerate(_samples(file, self._told)):
                name = clean_id(f"{file.name}/{key}")
                seen[key] = seen.get(key, 0) + 1
                if not _owns(shard, name):
                    continue
                if (times := seen[key]) > 1:
                    reason = f"{name}: key appears {times} times in its tar file; a sample's files must be adjacent"
                    yield BadRow(f"{name}~{times}", reason, first + number)
                else:
                    yield self._record(name, members, first + number, reader)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:  # tarfile raises one of these for zlib.error
            name = f"{file.name}~end"  # not the id of a sample, which has the form FILE/KEY
            if _owns(shard, name):
                yield BadRow(name, f"{file.name} can't be read after {number} samples: {error}", first + number + 1)

    def _record(self, name: str, members: dict[str, bytes], seq: int, reader: RowReader) -> Record | BadRow:
        try:
            fields = _fields(members)
            if images := self._images_of(members):
                # Image paths in the JSON are those of the machine that wrote the tar file.
                fields = {name: value for name, value in fields.items() if name != "image"} | {"images": images}
            fields = reader.fields(fields, self.path)
        except UNREADABLE as error:
            return BadRow(name, shorten_text(f"{name} can't be read: {error}", 300), seq)
        return Record(name, fields, seq)

    def _images_of(self, members: dict[str, bytes]) -> list[bytes]:
        """Returns a sample's images: those that the recipe names, or all except masks and similar, in natural order."""
        if named := named_columns(self.config):
            return [members[name.lower()] for name in named if name.lower() in members]
        endings = sorted((ending for ending in members if _is_image(ending)), key=natural_order)
        return [members[ending] for ending in endings if not is_auxiliary(ending)]


def _samples(file: Path, told: set[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yields the key of each sample, and its files by ending, in the order of the tar file.

    Args:
        told: endings that were already logged.
    """
    with open_bytes(file) as stream, tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as tar:
        sample: _Sample | None = None
        for member in tar:
            if not (member.isfile() or member.islnk() or member.issym()) or _is_hidden(member.name):
                continue
            key, ending = _split(member.name)
            if sample is None or sample.key != key:
                if sample is not None:
                    yield sample.key, sample.members
                sample = _Sample(key)
            if _is_wanted(ending) or _is_other_media(ending):
                sample.add(tar, member, ending)
            elif ending not in told:
                told.add(ending)
                log.info("%s: files that end in .%s are left out", file.name, ending)
        if sample is not None:
            yield sample.key, sample.members


class _Sample:
    """The files of one sample, within the limits.

    Attributes:
        members: contents by ending; the key `REFUSED` has the reason why the sample is not used.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.members: dict[str, bytes] = {}
        self._size = 0

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> None:
        """Reads a file of the sample, or sets the reason why the sample can't be used."""
        if _is_other_media(ending):
            self._refuse(f"contains {member.name}; video and audio are not supported yet")
            return
        if not member.isfile():
            self._refuse(f"{member.name} is a link to {member.linkname[:100]}, not a file")
            return
        self._size += member.size
        if self._size > SAMPLE_BYTES.value:
            self.members.clear()
            self._refuse(f"its files are too large: {SAMPLE_BYTES}")
        elif member.size > IMAGE_BYTES.value:
            self._refuse(f"{member.name} has {member.size:,} bytes: {IMAGE_BYTES}")
        else:
            opened = tar.extractfile(member)
            assert opened is not None, "a regular file"
            self.members[ending] = opened.read()

    def _refuse(self, reason: str) -> None:
        self.members[REFUSED] = reason.encode()


def _is_other_media(ending: str) -> bool:
    return not OTHER_MEDIA_ENDINGS.isdisjoint(ending.split("."))


class _Member(tarfile.TarInfo):
    """A tar member whose extended headers (long names, attributes) are limited in size."""

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        headers = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
        if self.type in (*headers, tarfile.SOLARIS_XHDTYPE) and self.size > HEADER_BYTES:
            raise tarfile.ReadError(f"a header has {self.size:,} bytes; at most {HEADER_BYTES:,} are allowed")
        member: Self = super()._proc_member(tar)  # type: ignore[misc]
        return member


def _is_hidden(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".")


def _split(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return f"{folder}{slash}{key}", ending.lower()


def natural_order(ending: str) -> list[tuple[int, str]]:
    """Returns a sort key that puts `jpg` before `1.jpg`, and `2.jpg` before `10.jpg`."""
    stem = ending.rpartition(".")[0]
    pieces = re.findall(r"\d+|\D+", stem)
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]


def _is_wanted(ending: str) -> bool:
    return ending == "json" or ending in _TEXTS or _is_image(ending)


def _is_image(ending: str) -> bool:
    return f".{ending.rpartition('.')[2]}" in SUFFIXES


def _fields(members: dict[str, bytes]) -> Fields:
    if REFUSED in members:
        raise ValueError(members[REFUSED].decode())
    fields: Fields = {}
    for ending, data in members.items():
        if ending == "json":
            row = load_json(data)
            if not isinstance(row, dict):
                raise ValueError(f"its .json is not an object, but {type(row).__name__}")
            fields |= row
        elif ending in _TEXTS:
            fields[ending] = data.decode("utf-8").strip()
    return fields


def _owns(shard: Shard | None, name: str) -> bool:
    return shard is None or shard.owns(name)
