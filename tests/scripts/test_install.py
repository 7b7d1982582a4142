"""The installation commands of the docs are those that messages print, and that `make test-install` runs."""

from __future__ import annotations

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
