"""What an exported file says of itself: the model, what decides its vectors, and its licence."""

import json
from importlib.metadata import version

from dinoseek.export.loaded import LICENCE_KEY, MODEL_KEY, Loaded
from dinoseek.export.options import GRAPHS, ExportOptions
from dinoseek.fingerprint import Fingerprint
from dinoseek.images.preprocess import MEAN, STD
from dinoseek.weights.save import CONFIG_KEY


def metadata_of(loaded: Loaded, options: ExportOptions, fingerprint: Fingerprint) -> dict[str, str]:
    """The texts by name, which begins with "dinoseek."; what is no text is JSON."""
    said = {
        MODEL_KEY: loaded.name,
        LICENCE_KEY: loaded.licence,
        CONFIG_KEY: json.dumps(loaded.config.as_dict()),
        "dinoseek.fingerprint": fingerprint.to_json(),
        "dinoseek.precision": options.precision,
        "dinoseek.version": version("dinoseek"),
    }
    if options.format not in GRAPHS:
        return said
    bytes_in = "image: (b, H, W, 3) uint8, RGB"
    return said | {
        "dinoseek.input": bytes_in if options.normalize else "pixels: (b, 3, H, W) float32",
        "dinoseek.mean": json.dumps(MEAN),
        "dinoseek.std": json.dumps(STD),
        "dinoseek.size": "x".join(map(str, options.size)) if options.size else "any",
    }
