"""What training needs beside dinoseek itself."""

import importlib.util

from dinoseek.errors import UsageError


def need_training() -> None:
    """UsageError train.missing where PyTorch, peft or accelerate is not installed."""
    for name in ("torch", "peft", "accelerate", "yaml"):
        if importlib.util.find_spec(name) is None:
            fix = "pip install 'dinoseek[train]'"
            raise UsageError("train.missing", "dinoseek train", f"needs {name}", fix=fix)
