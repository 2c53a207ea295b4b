"""Models of pinned revisions: configuration, tokenizer and safetensors, and nothing else."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.files import read_json
from pipeline.hub.client import connected, remove_abandoned
from pipeline.hub.fetch import Fetched, fetch
from pipeline.hub.listing import listing
from pipeline.hub.revision import Revision, cache_folder, check_request

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_CONFIG_AND_TOKENIZER = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)


def fetch_model(repo: str, revision: str) -> tuple[Path, dict[str, Fetched]]:
    """The snapshot folder of a model, and its files by name: config, tokenizer and safetensors.

    Disk space is checked before the first file. The folder may hold more, which other programs put
    there, such as an adapter: read nothing but the files named. Raises InputError, one line, for
    anything that goes wrong, for a model without safetensors, and for weights whose header does
    cannot be read.
    """
    source = Revision(repo, revision, "model")
    check_request(source, [], {})
    with connected():
        sizes = listing(source)
        names = _wanted(source, sizes)
        remove_abandoned(source.folder)
        _check_space(source, {name: sizes[name] for name in names})
    files = fetch(repo, names, revision, "model")
    _check_weights(source, files)
    return files["config.json"].path.parent, files


def is_safe(name: str) -> bool:
    """Whether a model's file is configuration, tokenizer or safetensors, by its name alone.

    Of weights, only the names that `fetch_model` looks for count, which are none of an adapter's.
    """
    return name in _CONFIG_AND_TOKENIZER | {_WHOLE, _INDEX} or bool(_SHARD.fullmatch(name))


def _wanted(source: Revision, sizes: Mapping[str, int]) -> list[str]:
    """The names to fetch: weights last, and one file of them where there are shards too."""
    weights = [_WHOLE] if _WHOLE in sizes else [_INDEX, *sorted(filter(_SHARD.fullmatch, sizes))]
    if not sizes.keys() >= {"config.json", *weights} or weights == [_INDEX]:
        raise source.refusal(
            f"it lacks config.json or safetensors weights ({_WHOLE}, or shards and their index); "
            "pickled weights and adapters are never read; choose another model"
        )
    return [*sorted(_CONFIG_AND_TOKENIZER & sizes.keys()), *weights]


def _check_space(source: Revision, sizes: Mapping[str, int]) -> None:
    from huggingface_hub import try_to_load_from_cache

    def is_cached(name: str) -> bool:
        found = try_to_load_from_cache(source.repo, name, revision=source.revision)
        return isinstance(found, str)

    needed = sum(size for name, size in sizes.items() if not is_cached(name))
    folder = next(path for path in (cache_folder(), *cache_folder().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise source.refusal(
            f"it needs {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free; free "
            "some, or move the cache with HF_HOME"
        )


def _check_weights(source: Revision, files: Mapping[str, Fetched]) -> None:
    """Refuse weights whose header cannot be read, and an index of files that were not fetched."""
    from safetensors import SafetensorError, safe_open

    try:
        for name, file in files.items():
            if name.endswith(".safetensors"):
                with safe_open(file.path, framework="numpy") as tensors:
                    tensors.keys()
    except (SafetensorError, OSError, ValueError) as error:
        raise source.refusal(
            f"{name} has no sound safetensors header ({str(error)!r}); choose another model"
        ) from error
    if _INDEX in files:
        stray = _shards(source, files[_INDEX].path) - files.keys()
        if stray:
            raise source.refusal(
                f"{_INDEX} names {min(stray)!r}, which is none of its shards; choose another model"
            )


def _shards(source: Revision, index: Path) -> set[str]:
    try:
        return {str(shard) for shard in read_json(index)["weight_map"].values()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise source.refusal(f"{_INDEX} is no index of weights; choose another model") from error
