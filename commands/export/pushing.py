"""A folder of ours into a repository of a Hub.

The token is the client's own business: it takes HF_TOKEN or what `hf auth login` stored. It is no
option here, where other users of the machine could read it in the list of processes, and no
message quotes what the client says, which may hold it.
"""

from pathlib import Path

from pipeline.core.console import InputError
from pipeline.hub.client import connected
from pipeline.hub.faults import host, reason_of
from pipeline.hub.revision import Revision

_REFUSED = {
    401: "the Hub does not know the token; log in with `hf auth login`, or set HF_TOKEN",
    403: "the token may not write there; use one that may, or an account that owns the name",
    404: "there is no such account; name a repository of yours as owner/name",
}


def push(folder: Path, repo: str, *, public: bool) -> str:
    """Make all that is in a folder one commit of a repository (owner/name), which is made where
    there is none: private, unless `public`. Returns the address of the commit.

    Raises InputError in one line where it fails; the folder stays as it is.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        with connected():
            api = HfApi()
            api.create_repo(repo, private=not public, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message="Exported by legible-models"
            )
    except Exception as error:  # the client raises errors of four libraries
        raise InputError(f"cannot push {folder} to {repo}: {_reason(error, repo)}") from error
    finally:
        enable_progress_bars()
    return str(done.commit_url)


def _reason(error: Exception, repo: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in _REFUSED:
        return _REFUSED[status]
    if type(error).__name__ == "HFValidationError":
        return "that is no repository's name; write it as owner/name"
    if type(error).__name__ == "LocalTokenNotFoundError":
        return _REFUSED[401]
    if type(error).__name__ == "OfflineModeIsEnabled":
        return f"HF_HUB_OFFLINE is set; unset it to reach {host()}"
    return reason_of(error, Revision(repo, "main", "model"), "the folder")
