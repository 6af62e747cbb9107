"""Exports a model: written, loaded anew, compared with the NumPy engine, and only then kept."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoseek.errors import UsageError, WeightsError
from dinoseek.export.files import placing, refuse_existing
from dinoseek.export.loaded import Loaded, fingerprint_of, load
from dinoseek.export.metadata import metadata_of
from dinoseek.export.onnx_file import OnnxRunner, onnx_runtime, write_onnx
from dinoseek.export.openvino_file import OpenvinoRunner, open_vino, write_openvino
from dinoseek.export.options import GRAPHS, ExportOptions, check_size
from dinoseek.export.parity import Agreement, agreements, fault_of, together
from dinoseek.export.pictures import Picture, spread
from dinoseek.export.report import SUFFIX, Report, Tried
from dinoseek.export.retrieval import FEWEST, LEAST_OVERLAP, retrieval_of
from dinoseek.export.trials import (
    Images,
    Runner,
    Seen,
    Trials,
    Watch,
    calibration_pixels,
    seen,
    trials_of,
)
from dinoseek.export.weights_file import NumpyRunner, read_weights, write_weights
from dinoseek.vit.config import PosFlavour

if TYPE_CHECKING:
    from dinoseek.graph.steps import Calibration

CALIBRATED = 16


def unwatched(batches: Sequence[Images], _doing: str) -> Iterable[Images]:
    """Passes batches on as they are."""
    return batches


def export_model(
    model: str | Path,
    target: Path,
    options: ExportOptions,
    *,
    pictures: Iterable[Picture],
    pos_flavour: PosFlavour | None = None,
    threads: int | None = None,
    models_dir: Path | None = None,
    cache_dir: Path | None = None,
    force: bool = False,
    watch: Watch = unwatched,
) -> Report:
    """Writes a model to `target`, and how it compares with the NumPy engine beside it.

    The file is loaded anew and run on `pictures`; one that differs by more than its precision
    explains is not kept. Raises WeightsError export.parity or export.retrieval then, UsageError for
    what does not go together or is there already, and as `load` and `placing` do.
    """
    beside = target.with_name(target.name + SUFFIX)
    other = [target.with_suffix(".bin")] if options.format == "openvino" else []
    refuse_existing([target, *other, beside], force=force)
    _require_runtime(options)
    with placing(target, force=force) as folder:
        loaded = load(model, pos_flavour=pos_flavour, models_dir=models_dir, cache_dir=cache_dir)
        if options.size:
            check_size(options.size, loaded.config)
        chosen = _chosen(list(pictures), options)
        report = _proven(folder / target.name, loaded, options, chosen, threads, watch)
        text = json.dumps(report.as_dict(), indent=2, ensure_ascii=False)
        (folder / beside.name).write_text(text + "\n", "utf-8")
    return report


def _require_runtime(options: ExportOptions) -> None:
    """A file that cannot be checked here is not written."""
    match options.format:
        case "onnx":
            onnx_runtime()
        case "openvino":
            open_vino()


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """Pictures that a file is tried on, and others that int8 is calibrated on."""

    tried: Sequence[Picture]
    calibrated: Sequence[Picture] = ()


def _chosen(pictures: Sequence[Picture], options: ExportOptions) -> _Chosen:
    if options.precision != "int8":
        return _Chosen(tried=pictures)
    if len(pictures) < (needed := FEWEST + CALIBRATED):
        reason = (
            f"it is calibrated on {CALIBRATED} pictures, and what it costs is measured on {FEWEST} "
            f"others or more; these are {len(pictures)}, not {needed}"
        )
        fix = "name a folder or a gallery with --images"
        raise UsageError("export.pictures", "--precision int8", reason, fix=fix)
    places = set(spread(range(len(pictures)), CALIBRATED))
    return _Chosen(
        tried=[picture for place, picture in enumerate(pictures) if place not in places],
        calibrated=[pictures[place] for place in sorted(places)],
    )


def _proven(
    path: Path,
    loaded: Loaded,
    options: ExportOptions,
    chosen: _Chosen,
    threads: int | None,
    watch: Watch,
) -> Report:
    """Writes a file and compares it; the parameters are gone from `loaded` afterwards."""
    fingerprint = fingerprint_of(loaded, options)
    metadata = metadata_of(loaded, options, fingerprint)
    _write(path, loaded, options, metadata, chosen.calibrated)
    files = {file.name: file.stat().st_size for file in sorted(path.parent.iterdir())}
    search = options.precision == "int8"
    trials = trials_of(chosen.tried, options, loaded.config, search=search)
    # The reference goes before the file comes: both at once would be twice the memory.
    expected = _reference(loaded, options, trials, threads, watch)
    run = _loaded_anew(path, options, threads)
    report = Report(
        files=files,
        options=options,
        fingerprint=fingerprint,
        licence=loaded.licence,
        runtime=run.runtime,
    )
    found = seen(run, trials, watch, "the file")
    return _compared(path, report, trials, expected, found, chosen.tried)


def _write(
    path: Path,
    loaded: Loaded,
    options: ExportOptions,
    metadata: dict[str, str],
    pictures: Sequence[Picture],
) -> None:
    match options.format:
        case "onnx":
            write_onnx(path, loaded, options, metadata, _calibration(loaded, options, pictures))
        case "openvino":
            write_openvino(path, loaded, options, metadata, _calibration(loaded, options, pictures))
        case _:
            write_weights(path, loaded, options, metadata)


def _calibration(
    loaded: Loaded, options: ExportOptions, pictures: Sequence[Picture]
) -> "Calibration | None":
    if options.precision != "int8":
        return None
    from dinoseek.graph.calibrate import calibrate  # noqa: PLC0415  needs an extra

    pixels = calibration_pixels(pictures, options, loaded.config)
    return calibrate(loaded.params, loaded.config, pixels)


def _loaded_anew(path: Path, options: ExportOptions, threads: int | None) -> Runner:
    match options.format:
        case "onnx":
            return OnnxRunner(path, threads)
        case "openvino":
            return OpenvinoRunner(path, options.precision, threads)
        case _:
            return read_weights(path, threads)


def _reference(
    loaded: Loaded, options: ExportOptions, trials: Trials, threads: int | None, watch: Watch
) -> Seen:
    run = NumpyRunner(
        loaded.params, loaded.config, unit_length=options.unit_length, threads=threads
    )
    return seen(run, trials, watch, "the reference")


def _compared(
    path: Path,
    report: Report,
    trials: Trials,
    expected: Seen,
    found: Seen,
    pictures: Sequence[Picture],
) -> Report:
    """The report with what was found; WeightsError if it is beyond the limits."""
    try:
        pairs = zip(trials.compared, expected.outputs, found.outputs, strict=True)
        tried = [_tried(images, agreements(ours, theirs)) for images, ours, theirs in pairs]
    except ValueError as exc:
        raise _refused(path, "export.parity", str(exc), report) from exc
    tokens = together(each.tokens for each in tried)
    if fault := fault_of(tokens, report.options.precision):
        raise _refused(path, "export.parity", fault, report)
    report = replace(report, tried=tried, tokens=tokens)
    if not len(found.classes):
        return report
    labels = [picture.label for picture in pictures]
    retrieval = retrieval_of(expected.classes, found.classes, labels)
    if not retrieval.overlap >= LEAST_OVERLAP:
        reason = f"only {retrieval.overlap:.1%} of the first hits stay, {LEAST_OVERLAP:.0%} must"
        raise _refused(path, "export.retrieval", reason, report)
    return replace(report, retrieval=retrieval)


def _tried(images: Images, tokens: dict[str, Agreement]) -> Tried:
    count, height, width, _ = images.shape
    return Tried(height=height, width=width, images=count, tokens=tokens)


def _refused(path: Path, code: str, reason: str, report: Report) -> WeightsError:
    options = report.options
    fix = "a higher --precision keeps more"
    if options.precision == "float32":
        fix = "try another version of the runtime"
    elif options.format in GRAPHS and options.size is None:  # positions are computed, and rounded
        fix = "one --size or a higher --precision keeps more"
    return WeightsError(code, path, f"{reason} (by {report.runtime}); it was not kept", fix=fix)
