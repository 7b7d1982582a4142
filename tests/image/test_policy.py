"""What may be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf.errors import ImageError
from mminf.image import ImagePolicy, check_allowed, hub_blobs
from mminf.image.policy import check_url

from ..conftest import tiny_image


def test_only_allowed_folders_hosts_and_schemes(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    outside = tiny_image(tmp_path / "out.png")
    (inside / "link.png").symlink_to(outside)
    policy = ImagePolicy(roots=(inside.resolve(),), hosts=frozenset({"images.example"}))
    for uri in (str(outside), str(inside / ".." / "out.png"), str(inside / "link.png"), f"file://{outside}"):
        with pytest.raises(ImageError, match="outside the source's folder"):
            check_allowed(uri, policy)
    with pytest.raises(ImageError, match="host 'other.example' is not allowed"):
        check_allowed("https://other.example/a.png", policy)
    with pytest.raises(ImageError, match="scheme 'ftp'"):
        check_allowed("ftp://images.example/a.png", policy)
    check_allowed("https://images.example/a.png", policy)
    check_allowed(str(tiny_image(inside / "own.png")), policy)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://h.example/a.png", "h.example", 443),
        ("http://h.example/a b.png?q=1#top", "h.example", 80),
        ("HTTP://H.Example:8080/a.png", "h.example", 8080),
        ("http://h.example/@other/a.png", "h.example", 80),
        ("http://127.0.0.1:5000/a.png", "127.0.0.1", 5000),
        ("http://[::1]:5000/a.png", "::1", 5000),
        ("http://bücher.example/a.png", "xn--bcher-kva.example", 80),
    ],
)
def test_the_host_that_is_checked_is_the_one_that_is_asked(url: str, host: str, port: int) -> None:
    policy = ImagePolicy(hosts=frozenset({"h.example", "127.0.0.1:5000", "[::1]:5000", "bücher.example"}))
    found = check_url(url, policy)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9\\@h.example/a.png",
        "http://127.0.0.1\\.h.example/a.png",
        "http://user@h.example/a.png",
        "http://h.example@127.0.0.1/a.png",
        "http://h.example:80@127.0.0.1/a.png",
        "http://h.exa\nmple/a.png",
        "http://h.example/a\0.png",
        "http://127.0.0.1\t/h.example",
        "http:///a.png",
        "http://",
        "http://h.example:99999/a.png",
        "http://h.example:x/a.png",
        "http://[::1/a.png",
        "http://127.0.0.1#@h.example/a.png",
        "http://127.0.0.1?@h.example/a.png",
        "http://h.example.other/a.png",
        "http://h.example:8080/a.png",
        "http://other.example/h.example/a.png",
        "http://2130706433/a.png",
        "http://h.example%2f@127.0.0.1/a.png",
        "http://h.example。other/a.png",
    ],
)
def test_tricks_with_hosts_are_refused(url: str) -> None:
    with pytest.raises(ImageError) as failure:
        check_allowed(url, ImagePolicy(roots=None, hosts=frozenset({"h.example:80"})))
    assert len(str(failure.value)) < 300


def test_a_host_without_a_port_allows_all_ports() -> None:
    check_allowed("http://h.example:8080/a.png", ImagePolicy(hosts=frozenset({"H.Example"})))


@pytest.mark.parametrize(
    "uri", ["/gone/" + "x" * 5000, "http://other.example/" + "x" * 5000, "ftp" * 500 + "://x", "s3://b/" + "x" * 5000]
)
def test_reasons_are_short(uri: str) -> None:
    with pytest.raises(ImageError) as failure:
        check_allowed(uri, ImagePolicy())
    assert len(str(failure.value)) < 300


@pytest.mark.parametrize("below", ["", "train", "train/deep"], ids=["snapshot", "folder", "deep folder"])
@pytest.mark.parametrize("repository", ["datasets--o--n", "models--o--n", "anything"])
def test_links_of_a_hub_snapshot_lead_to_its_blobs(tmp_path: Path, repository: str, below: str) -> None:
    folder = tmp_path / repository / "snapshots" / "abc" / below
    folder.mkdir(parents=True)
    blobs = tmp_path / repository / "blobs"
    blobs.mkdir()
    tiny_image(tmp_path / "x.png").rename(blobs / "0123")
    (folder / "x.png").symlink_to(blobs / "0123")
    assert hub_blobs(folder) == blobs.resolve()
    check_allowed(str(folder / "x.png"), ImagePolicy(roots=(folder.resolve(), blobs.resolve())))
    (tmp_path / "short").symlink_to(folder)
    assert hub_blobs(tmp_path / "short") == blobs.resolve()


def test_other_folders_have_no_blobs(tmp_path: Path) -> None:
    (tmp_path / "snapshots" / "abc").mkdir(parents=True)
    assert hub_blobs(tmp_path / "snapshots" / "abc") is None
    (tmp_path / "blobs").mkdir()
    assert hub_blobs(tmp_path) is None
