"""Folders of images: what is read, followed and left out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import mminf.source.folder as folder_module
from mminf.errors import SourceError
from mminf.image import check_allowed
from mminf.recipe.config import SourceConfig
from mminf.record import Record
from mminf.source.folder import ImageWalk
from mminf.source.images import Images
from mminf.storage import to_path

from ..conftest import tiny_image


def source(folder: Path, **settings: object) -> Images:
    return Images(SourceConfig(path=folder, **settings), folder.parent, folder.parent / "scratch")


def ids(folder: Path, **settings: object) -> list[str]:
    return [row.id for row in source(folder, **settings).read() if isinstance(row, Record)]


def said(caplog: pytest.LogCaptureFixture, made: Images) -> list[str]:
    with caplog.at_level(logging.INFO, "mminf"):
        made.check()
    return [record.message for record in caplog.records if record.message.startswith("images:")]


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    (tmp_path / "pics" / "sub").mkdir(parents=True)
    tiny_image(tmp_path / "pics" / "a.png")
    tiny_image(tmp_path / "pics" / "sub" / "b.png")
    return tmp_path / "pics"


def test_nothing_is_said_where_nothing_is_left_out(pics: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pics / ".hidden").mkdir()
    (pics / ".DS_Store").touch()
    assert said(caplog, source(pics)) == []
    assert ids(pics) == ["a.png", "sub/b.png"]


def test_what_is_left_out_is_counted_and_said_once(pics: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.txt", "2.TXT", "sub/3.txt", "x.svg", "noending"):
        (pics / name).touch()
    for name in ("c.avif", "d.jfif", "e.jpe", "f.mpo", "g.JPG"):
        (pics / name).touch()
    made = source(pics)
    wanted = f"images: 7 images in {pics}; left out 5 files: 3 .txt, 1 without an ending, 1 .svg"
    assert said(caplog, made) == [wanted]
    assert made.count() == 7
    assert ids(pics) == ["a.png", "c.avif", "d.jfif", "e.jpe", "f.mpo", "g.JPG", "sub/b.png"]


@pytest.mark.parametrize("installed", [False, True])
def test_heic_is_an_image_where_the_extra_is_installed(
    pics: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    suffixes = frozenset({".png", ".heic"} if installed else {".png"})
    monkeypatch.setattr(folder_module, "SUFFIXES", suffixes)
    (pics / "c.HEIC").touch()
    wanted = "1 file: 1 .heic (install `pip install 'mminf[heic]'`)"
    assert said(caplog, source(pics)) == ([] if installed else [f"images: 2 images in {pics}; left out {wanted}"])
    assert ("c.HEIC" in ids(pics)) is installed


def test_a_folder_without_images_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "x.svg").touch()
    with pytest.raises(SourceError, match=r"no images in .* \(left out 1 file: 1 \.svg\); known endings: \.avif"):
        source(tmp_path / "pics").check()


def test_linked_folders_outside_are_counted_and_followed_where_allowed(
    pics: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outside = pics.parent / "outside"
    outside.mkdir()
    tiny_image(outside / "c.png")
    (pics / "linked").symlink_to("../outside")
    assert ids(pics) == ["a.png", "sub/b.png"]
    assert said(caplog, source(pics)) == [
        f"images: 2 images in {pics}; left out 1 linked folder: linked (add the target to `allow_paths`)"
    ]
    caplog.clear()
    allowed = source(pics, allow_paths=[str(outside)])
    found = [row for row in allowed.read() if isinstance(row, Record)]
    assert [row.id for row in found] == ["a.png", "linked/c.png", "sub/b.png"]
    for row in found:
        check_allowed(row.fields["images"][0], allowed.policy())
    assert said(caplog, allowed) == []
    assert ids(pics, allow_any_path=True) == ["a.png", "linked/c.png", "sub/b.png"]


@pytest.mark.parametrize(
    "link",
    [
        lambda pics: (pics / "sub" / "up").symlink_to(pics),
        lambda pics: (pics / "sub" / "self").symlink_to("."),
        lambda pics: ((pics / "x").symlink_to("y"), (pics / "y").symlink_to("x")),
        lambda pics: (pics / "sub" / "gone").symlink_to(pics / "nothing"),
    ],
    ids=["to the root", "to itself", "in a ring", "to nothing"],
)
@pytest.mark.parametrize("anywhere", [False, True], ids=["inside", "any path"])
def test_cycles_end(pics: Path, link: Callable[[Path], object], anywhere: bool) -> None:
    link(pics)
    assert ids(pics, allow_any_path=anywhere) == ["a.png", "sub/b.png"]


def test_a_link_to_what_is_above_the_folder_ends(pics: Path) -> None:
    (pics / "sub" / "above").symlink_to(pics.parent)
    tiny_image(pics.parent / "z.png")
    assert ids(pics, allow_any_path=True) == ["a.png", "sub/above/z.png", "sub/b.png"]


def test_links_to_what_is_read_anyway_bring_no_image_twice(pics: Path) -> None:
    for name in ("l1", "l2"):
        (pics / name).symlink_to("sub")
    assert ids(pics) == ["a.png", "sub/b.png"]


def test_links_to_a_hidden_folder_inside_are_followed_once(pics: Path) -> None:
    (pics / "sub").rename(pics / ".store")
    for name in ("l1", "l2"):
        (pics / name).symlink_to(".store")
    assert ids(pics) == ["a.png", "l1/b.png"]


def test_links_do_not_multiply(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / "pics" / f"{number:02}").mkdir(parents=True)
        for name in ("x", "y"):
            (tmp_path / "pics" / f"{number:02}" / name).symlink_to(f"../{number + 1:02}")
    (tmp_path / "pics" / "25").mkdir()
    tiny_image(tmp_path / "pics" / "25" / "a.png")
    assert len(ids(tmp_path / "pics")) <= 27


def test_unreadable_folders_are_named_and_skipped(
    pics: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pics / "lost+found").mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    wanted = f"images: 2 images in {pics}; left out 1 unreadable folder: lost+found"
    assert said(caplog, source(pics)) == [wanted]
    assert ids(pics) == ["a.png", "sub/b.png"]


def test_an_unreadable_source_fails(pics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match="can't be read"):
        list(ImageWalk(pics.resolve(), ()))


def test_one_file_is_a_source(pics: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert ids(pics / "a.png") == ["a.png"]
    assert said(caplog, source(pics / "a.png")) == []


def test_the_fingerprint_changes_with_what_is_read(pics: Path) -> None:
    made = source(pics)
    before = made.fingerprint()
    (pics / "x.txt").touch()
    assert made.fingerprint() == before
    tiny_image(pics / "c.png")
    assert made.fingerprint() != before


def test_what_a_store_has_left_out_is_said_after_the_listing(caplog: pytest.LogCaptureFixture) -> None:
    folder = to_path("memory://image-folders/pics")
    for name in ("a.png", "b/c.png", "b/d.txt"):
        (folder / name).write_bytes(b"x")
    made = Images(SourceConfig(path="memory://image-folders/pics"), Path("/"), Path("/scratch"))
    made.check()
    with caplog.at_level(logging.INFO, "mminf"):
        assert [row.id for row in made.read()] == ["a.png", "b/c.png"]
    assert caplog.messages == ["images: 2 images in memory://image-folders/pics; left out 1 file: 1 .txt"]
