"""A model with an adapter in its weights, as a file."""

from pathlib import Path

from dinoseek.errors import UsageError
from dinoseek.train.adapter import merged, read_adapter
from dinoseek.weights.hub import resolve
from dinoseek.weights.load import load_params
from dinoseek.weights.save import refuse_suffix, save_params


def merge_adapter(
    folder: Path,
    target: Path,
    model: str,
    *,
    force: bool = False,
    models_dir: Path | None = None,
) -> None:
    """Merges the LoRA adapter in a folder into a model and writes it, whole or not at all.

    Raises as `read_adapter`, `merged`, `load_params` and `save_params` do, and UsageError
    train.exists for a file that is there and not to be replaced.
    """
    refuse_suffix(target)
    if target.exists() and not force:
        raise UsageError("train.exists", target, "is there already", fix="replace it with --force")
    adapter = read_adapter(folder)
    params, config = load_params(resolve(model, models_dir))
    save_params(target, merged(params, adapter, folder), config)
