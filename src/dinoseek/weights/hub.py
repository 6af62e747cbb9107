"""Where weights are found: here, a models folder, Hugging Face's cache and, when asked, the hub."""

import difflib
import hashlib
import logging
import re
from pathlib import Path

import platformdirs

from dinoseek.errors import DinoseekError, MachineError, UsageError, WeightsError, printable
from dinoseek.weights.checkpoint import FOLDER_NAMES, checkpoint_files
from dinoseek.weights.infer import agreed
from dinoseek.weights.load import summarise
from dinoseek.weights.official import MODELS, KnownModel
from dinoseek.weights.stored import missing_file

logger = logging.getLogger(__name__)

KNOWN: dict[str, KnownModel] = {model.name: model for model in MODELS}
BUILT_IN = "dinoseek-tiny"  # its weights are beside this file, and so is what it is
SHA256 = re.compile("[0-9a-f]{64}")


def default_models_dir() -> Path:
    return platformdirs.user_cache_path("dinoseek") / "models"


def built_in_weights() -> Path:
    """The file of the model that comes with dinoseek."""
    return Path(__file__).with_name(f"{BUILT_IN}.safetensors")


def is_built_in(name: str | Path) -> bool:
    """Whether it is the name of the model that comes with dinoseek."""
    return str(name).lower() == BUILT_IN


def find_model(name: str) -> KnownModel:
    """The official model of that name or alias; else a UsageError with the nearest name."""
    model = known_model(name)
    if model is None:
        raise unknown_model(name)
    return model


def known_model(name: str) -> KnownModel | None:
    wanted = name.lower()
    for model in KNOWN.values():
        if wanted == model.name or wanted in model.aliases:
            return model
    return None


def unknown_model(name: str) -> UsageError:
    names = [name for model in KNOWN.values() for name in (model.name, *model.aliases)]
    names.append(BUILT_IN)
    close = difflib.get_close_matches(name.lower(), names, n=1)
    fix = f"did you mean {close[0]}?" if close else f"known are {', '.join((*KNOWN, BUILT_IN))}"
    return UsageError("model.unknown", name, "is neither a known model nor a file", fix=fix)


def resolve(model: str | Path, models_dir: str | Path | None = None) -> Path:
    """The weights that `model` means: a model by name, a file, or a folder with one.

    Never uses the network. Raises MachineError "weights.missing", which says what to download and
    where to put it, and UsageError "model.unknown".
    """
    if isinstance(model, str) and is_built_in(model):
        return built_in_weights()
    known = known_model(model) if isinstance(model, str) else None
    if known is not None:
        found = find_weights(known.name, models_dir)
        if found is None:
            raise missing_model(known, models_dir)
        return found
    path = Path(model).expanduser()
    if path.exists():
        return checkpoint_files(path)[0]
    if isinstance(model, Path) or path.suffix or len(path.parts) > 1:
        raise missing_file(path)
    raise unknown_model(model)


def model_name(model: str | Path) -> str:
    """What people call the weights that `model` means: an official name, or that of a file."""
    known = known_model(model) if isinstance(model, str) else None
    if known is not None:
        return known.name
    if isinstance(model, str) and is_built_in(model):
        return BUILT_IN
    path = Path(model)
    usual = path.name in (*FOLDER_NAMES, "") and path.parent.name
    return path.parent.name if usual else path.name.removesuffix(path.suffix)


def find_weights(name: str, models_dir: str | Path | None = None) -> Path | None:
    """An official model's weights on this machine, or None; looks without the network."""
    model = find_model(name)
    folder = Path(models_dir) if models_dir else default_models_dir()
    candidates = [folder / local for local in model.local_names]
    found = next((path for path in candidates if path.is_file()), None)
    return found or find_in_hub_cache(model)


def find_in_hub_cache(model: KnownModel) -> Path | None:
    """The file where Hugging Face's own tools left it: the pinned revision, or any other."""
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415  only where it is needed

    snapshots = Path(HF_HUB_CACHE) / f"models--{model.repo.replace('/', '--')}" / "snapshots"
    pinned = snapshots / model.revision / model.filename
    candidates = [pinned, *sorted(snapshots.glob(f"*/{model.filename}"))]
    return next((path for path in candidates if path.is_file()), None)


def missing_model(model: KnownModel, models_dir: str | Path | None) -> MachineError:
    folder = Path(models_dir) if models_dir else default_models_dir()
    fix = (
        f"run `dinoseek models download {model.name}` ({megabytes(model.bytes)}),"
        f" or put {model.url} into {folder};"
        f" `--model {BUILT_IN}` works at once, and sees less"
    )
    return MachineError(
        "weights.missing", model.name, "its weights are not on this machine", fix=fix
    )


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def download(name: str, models_dir: str | Path | None = None, progress: bool | None = None) -> Path:
    """Fetches an official model into `models_dir`/<its name>/ and checks it; returns the file.

    Goes on where an interrupted download stopped. huggingface_hub does the work, so its settings
    hold (HF_ENDPOINT for a mirror, HF_HUB_OFFLINE, proxies), and on a terminal its progress bar
    shows unless `progress` is False. Raises MachineError "weights.download", and WeightsError if
    what came is not the model.
    """
    model = find_model(name)
    folder = (Path(models_dir) if models_dir else default_models_dir()) / model.name
    try:
        path, published = fetch(model, folder, quiet=progress is False)
    except DinoseekError:
        raise
    except Exception as exc:  # the library's errors share no base, and change with its HTTP client
        raise failed_download(model, folder.parent, exc) from exc
    refuse_altered(path, model.sha256 or published)
    summary = summarise(path)
    agreed(path, summary.config, model.config)
    logger.info("downloaded %s to %s", model.repo, path)
    return path


def fetch(model: KnownModel, folder: Path, *, quiet: bool) -> tuple[Path, str | None]:
    """Downloads with huggingface_hub; also returns the hash that the hub states, if needed."""
    import huggingface_hub as hub  # noqa: PLC0415  slow, and only downloads need it
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415

    # Else it would fetch a list of AI agents first, and tell the hub which of them runs us.
    hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    if quiet:
        disable_progress_bars()
    repo, filename, revision = model.repo, model.filename, model.revision
    path = Path(hub.hf_hub_download(repo, filename, revision=revision, local_dir=folder))
    if model.sha256:
        return path, None
    etag = hub.get_hf_file_metadata(hub.hf_hub_url(repo, filename, revision=revision)).etag
    return path, etag if etag and SHA256.fullmatch(etag) else None


def failed_download(model: KnownModel, models_dir: Path, exc: Exception) -> MachineError:
    detail = printable((str(exc).strip() or type(exc).__name__).splitlines()[0][:200])
    reason = f"could not be downloaded ({detail})"
    fix = (
        "try again, set HF_ENDPOINT to a mirror,"
        f" or put {model.url} into {models_dir}; `--model {BUILT_IN}` works at once"
    )
    return MachineError("weights.download", model.name, reason, fix=fix)


def refuse_altered(path: Path, sha256: str | None) -> None:
    """Removes and refuses a download whose hash is not the published one."""
    if sha256 is None:
        logger.warning("%s: no SHA-256 is published here; only its shapes were checked", path)
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        reason = f"its SHA-256 is {found}, expected {sha256}; it was removed"
        fix = "download it again"
        raise WeightsError("weights.digest", path, reason, fix=fix)
