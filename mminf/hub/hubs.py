"""The hubs, through their own libraries, which read tokens and addresses as usual."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from mminf.errors import OutputError, UsageError, shorten_text
from mminf.output_names import CARD
from mminf.redact import redact

_LARGE_BYTES, _LARGE_FILES = 10 * 10**9, 1000
"""Uploads that are larger are made in several commits, with retries."""
_MESSAGE = "Upload datasets with mminf push"


class Hub(Protocol):
    """A hub of datasets."""

    name: str
    login: str
    """Command that stores a token."""
    variable: str
    """Environment variable with a token."""

    def has_token(self) -> bool:
        """Returns whether the library has a token."""

    def check_name(self, repository: str) -> None:
        """Raises UsageError if a repository can't have this name."""

    def full_name(self, repository: str) -> str:
        """Returns the name with its owner: the user of the token, if it has none."""

    def url(self, repository: str) -> str:
        """Returns the page of a repository."""

    def download(self, repository: str) -> str:
        """Returns the command that downloads a repository to a folder `data`."""

    def read_card(self, repository: str) -> str | None:
        """Returns the card of a repository; None if it has none, or does not exist."""

    def upload(self, repository: str, folder: Path, *, private: bool, replaced: Sequence[str]) -> None:
        """Uploads a folder to a repository, which is made if it does not exist.

        Args:
            private: whether the repository must be private.
            replaced: patterns of files of the repository that are removed if the folder does not have them.
        """


class HuggingFace:
    """Hugging Face, through `huggingface_hub`."""

    name = "Hugging Face"
    login = "hf auth login"
    variable = "HF_TOKEN"

    def has_token(self) -> bool:
        from huggingface_hub import get_token

        return get_token() is not None

    def check_name(self, repository: str) -> None:
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id

        try:
            validate_repo_id(repository)
        except HFValidationError as error:
            raise UsageError(f"{repository[:80]!r} is not the name of a repository: {error}") from error

    def full_name(self, repository: str) -> str:
        if "/" in repository:
            return repository
        from huggingface_hub import HfApi

        with _told(self.name, repository):
            return f"{HfApi().whoami()['name']}/{repository}"

    def url(self, repository: str) -> str:
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/datasets/{repository}"

    def download(self, repository: str) -> str:
        return f"hf download {repository} --repo-type dataset --local-dir data"

    def read_card(self, repository: str) -> str | None:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

        with _told(self.name, repository):
            try:
                path = HfApi().hf_hub_download(repository, CARD, repo_type="dataset")
            except (EntryNotFoundError, RepositoryNotFoundError):
                return None
        return Path(path).read_text(encoding="utf-8", errors="replace")

    def upload(self, repository: str, folder: Path, *, private: bool, replaced: Sequence[str]) -> None:
        from huggingface_hub import HfApi

        api = HfApi(library_name="mminf")
        with _told(self.name, repository):
            api.create_repo(repository, repo_type="dataset", private=True if private else None, exist_ok=True)
            if private and not api.repo_info(repository, repo_type="dataset").private:
                raise OutputError(f"{repository} exists and is public; choose another name, or omit --private")
            if not _is_large(folder):
                api.upload_folder(
                    repo_id=repository,
                    folder_path=folder,
                    repo_type="dataset",
                    commit_message=_MESSAGE,
                    delete_patterns=list(replaced) or None,
                )
                return
            api.upload_large_folder(repository, folder, repo_type="dataset", print_report=False)
            there = api.list_repo_files(repository, repo_type="dataset")
            if old := _left_over(there, folder, replaced):
                api.delete_files(repository, old, repo_type="dataset", commit_message="Remove files of older datasets")


class ModelScope:
    """ModelScope, through `modelscope`."""

    name = "ModelScope"
    login = "modelscope login --token TOKEN"
    variable = "MODELSCOPE_API_TOKEN"

    def has_token(self) -> bool:
        from modelscope.hub.api import HubApi

        return HubApi().get_cookies() is not None

    def check_name(self, repository: str) -> None:
        owner, _, name = repository.partition("/")
        if (
            not owner
            or not name
            or "/" in name
            or not all(part.isprintable() and part == part.strip() for part in (owner, name))
        ):
            raise UsageError(
                f"{repository[:80]!r}: ModelScope needs the name of a repository with its owner, OWNER/NAME"
            )

    def full_name(self, repository: str) -> str:
        return repository

    def url(self, repository: str) -> str:
        return f"https://www.modelscope.cn/datasets/{repository}"

    def download(self, repository: str) -> str:
        return f"modelscope download --dataset {repository} --local_dir data"

    def read_card(self, repository: str) -> str | None:
        from modelscope.hub.api import HubApi
        from modelscope.hub.file_download import dataset_file_download

        with _told(self.name, repository):
            api = HubApi()
            if not api.repo_exists(repository, repo_type="dataset"):
                return None
            files = api.get_dataset_files(repository)
            if CARD not in [file.get("Path") for file in files]:
                return None
            return Path(dataset_file_download(repository, CARD)).read_text(encoding="utf-8", errors="replace")

    def upload(self, repository: str, folder: Path, *, private: bool, replaced: Sequence[str]) -> None:
        from modelscope.hub.api import HubApi

        api = HubApi()
        with _told(self.name, repository):
            if api.repo_exists(repository, repo_type="dataset"):
                if private:
                    raise OutputError(f"{repository} exists; make it private on its page, and omit --private")
            else:
                api.create_repo(repository, repo_type="dataset", visibility="private" if private else "public")
            api.upload_folder(repo_id=repository, folder_path=str(folder), repo_type="dataset", commit_message=_MESSAGE)
            there = [str(file.get("Path")) for file in api.get_dataset_files(repository)]
            if old := _left_over(there, folder, replaced):
                api.delete_files(repository, repo_type="dataset", file_paths=old)


def _is_large(folder: Path) -> bool:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len(files) > _LARGE_FILES or sum(path.stat().st_size for path in files) > _LARGE_BYTES


def _left_over(there: Sequence[str], folder: Path, patterns: Sequence[str]) -> list[str]:
    """Returns the files of a repository that match a pattern and are not in the folder that was uploaded."""
    matching = [path for path in there if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)]
    return [path for path in matching if not (folder / path).is_file()]


@contextlib.contextmanager
def _told(hub: str, repository: str) -> Iterator[None]:
    """Converts the errors of a hub's library, and of the HTTP clients below it, to OutputError."""
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise OutputError(
            f"{hub}, {repository}: {type(error).__name__}: {redact(shorten_text(message, 400))}"
        ) from error
