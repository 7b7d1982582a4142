"""The installation commands of the docs are those that messages print, and that `make test-install` runs."""

from __future__ import annotations

import re
from importlib.metadata import metadata

import pytest
from install_tier import documented

from mminf.backend.vllm.backend import CPU_INSTALL, GPU_INSTALL, VllmBackend

from ..conftest import ROOT


def test_messages_and_pages_print_the_commands_that_are_tried() -> None:
    lines = documented()
    assert GPU_INSTALL in lines
    assert CPU_INSTALL in lines
    page = (ROOT / "docs" / "install.md").read_text()
    assert f"`{CPU_INSTALL}`" in page and f"`{GPU_INSTALL}`" in page
    assert CPU_INSTALL in VllmBackend.install_hint
    for line in ("pip install mminf", "pip install 'mminf[ray,s3]'", "pip install 'mminf[view]'"):
        assert line in lines


@pytest.mark.parametrize("name", ["gpu", "server"])
def test_containers_install_extras_that_exist(name: str) -> None:
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    (extras,) = re.findall(r"'/mminf\[(.*?)\]'", text)
    assert set(extras.split(",")) <= set(metadata("mminf").get_all("Provides-Extra") or [])
    assert f"-f docker/{name}.Dockerfile" in text
    assert f"-f docker/{name}.Dockerfile" in (ROOT / "docs" / "install.md").read_text()
