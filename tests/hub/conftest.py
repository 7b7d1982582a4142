"""Hubs that keep what is uploaded in a folder, at the boundary of their libraries."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ..card.conftest import run

__all__ = ["run"]


class Uploaded:
    """Repositories, and the calls of the library.

    Attributes:
        folder: one folder per repository.
        private: the private repositories.
        calls: names of the methods that were called, with their most important argument.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.private: set[str] = set()
        self.calls: list[tuple[str, Any]] = []
        self.token: str | None = "token"
        self.error: Exception | None = None

    def files(self, repository: str) -> list[str]:
        folder = self.folder / repository
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def put(self, repository: str, source: str | Path) -> None:
        if self.error is not None:
            raise self.error
        shutil.copytree(source, self.folder / repository, dirs_exist_ok=True)


def replace_methods(monkeypatch: pytest.MonkeyPatch, owner: Any, methods: dict[str, Callable[..., Any]]) -> None:
    """Replaces functions of a library, and checks each call against the library's own parameters."""

    def checked(real: Callable[..., Any], method: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(real)

        def call(*arguments: Any, **named: Any) -> Any:
            signature.bind(*arguments, **named)
            return method(*arguments, **named)

        return call

    for name, method in methods.items():
        monkeypatch.setattr(owner, name, checked(getattr(owner, name), method))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploaded]:
    """Hugging Face: the methods of HfApi that are used."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    found = Uploaded(tmp_path / "hub")

    def create_repo(_: HfApi, repository: str, *, repo_type: str, private: bool | None, exist_ok: bool) -> None:
        assert repo_type == "dataset" and exist_ok
        found.calls.append(("create_repo", private))
        if not (found.folder / repository).exists():
            (found.folder / repository).mkdir(parents=True)
            found.private |= {repository} if private else set()

    def upload_folder(_: HfApi, *, repo_id: str, folder_path: Path, repo_type: str, **options: Any) -> None:
        assert repo_type == "dataset" and options.pop("commit_message")
        found.calls.append(("upload_folder", options["delete_patterns"]))
        found.put(repo_id, folder_path)

    def upload_large_folder(_: HfApi, repo_id: str, folder_path: Path, *, repo_type: str, print_report: bool) -> None:
        assert repo_type == "dataset" and not print_report
        found.calls.append(("upload_large_folder", None))
        found.put(repo_id, folder_path)

    def hf_hub_download(_: HfApi, repository: str, name: str, *, repo_type: str) -> str:
        assert repo_type == "dataset"
        if not (found.folder / repository / name).is_file():
            response: Any = SimpleNamespace(headers={}, request=None, status_code=404)
            raise RepositoryNotFoundError("no repository", response=response)
        return str(found.folder / repository / name)

    def delete_files(_: HfApi, repository: str, patterns: list[str], *, repo_type: str, commit_message: str) -> None:
        found.calls.append(("delete_files", patterns))
        for name in patterns:
            (found.folder / repository / name).unlink()

    replaced = {
        "create_repo": create_repo,
        "upload_folder": upload_folder,
        "upload_large_folder": upload_large_folder,
        "hf_hub_download": hf_hub_download,
        "delete_files": delete_files,
        "list_repo_files": lambda _, repository, *, repo_type: found.files(repository),
        "repo_info": lambda _, repository, *, repo_type: SimpleNamespace(private=repository in found.private),
        "whoami": lambda _: {"name": "me"},
    }
    replace_methods(monkeypatch, HfApi, replaced)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: found.token)
    yield found


@pytest.fixture
def modelscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploaded]:
    """ModelScope: the methods of HubApi that are used."""
    from modelscope.hub import file_download
    from modelscope.hub.api import HubApi

    found = Uploaded(tmp_path / "modelscope")

    def create_repo(_: HubApi, repository: str, *, repo_type: str, visibility: str) -> None:
        assert repo_type == "dataset"
        found.calls.append(("create_repo", visibility))
        (found.folder / repository).mkdir(parents=True)

    def upload_folder(_: HubApi, *, repo_id: str, folder_path: str, repo_type: str, commit_message: str) -> None:
        assert repo_type == "dataset" and isinstance(folder_path, str) and commit_message
        found.calls.append(("upload_folder", None))
        found.put(repo_id, folder_path)

    def delete_files(_: HubApi, repository: str, *, repo_type: str, file_paths: list[str]) -> None:
        found.calls.append(("delete_files", file_paths))
        for name in file_paths:
            (found.folder / repository / name).unlink()

    replaced = {
        "create_repo": create_repo,
        "upload_folder": upload_folder,
        "delete_files": delete_files,
        "repo_exists": lambda _, repository, *, repo_type: (found.folder / repository).exists(),
        "get_dataset_files": lambda _, repository: [{"Path": name} for name in found.files(repository)],
        "get_cookies": lambda _: found.token,
    }
    replace_methods(monkeypatch, HubApi, replaced)
    download = {"dataset_file_download": lambda repository, name: str(found.folder / repository / name)}
    replace_methods(monkeypatch, file_download, download)
    yield found
