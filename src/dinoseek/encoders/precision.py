"""How exactly an engine calculates, by name."""

from dinoseek.errors import UsageError

FLOAT32 = "float32"
AUTO = "auto"

# The most exact first. Rounded to float16 or bfloat16 means operands of matrix products; int8 says
# that these are whole numbers with a scale.
PRECISIONS = (FLOAT32, "float16", "bfloat16", "int8")
SHORT = {"fp32": FLOAT32, "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}


def find_precision(name: str) -> str:
    """A precision by its name or the short one of the command line; "auto" stays what it is.

    Raises UsageError for another name.
    """
    found = SHORT.get(name, name)
    if found not in (AUTO, *PRECISIONS):
        fix = f"use auto, {', '.join(SHORT)}"
        raise UsageError("precision.unknown", name, "no such precision", fix=fix)
    return found


def short_of(precision: str) -> str:
    """The precision as `--precision` takes it."""
    return next((short for short, name in SHORT.items() if name == precision), precision)


def is_coarser(precision: str, than: str) -> bool:
    """Whether vectors of one precision are further from the exact ones than those of another."""
    ranks = {name: rank for rank, name in enumerate(PRECISIONS)}
    return ranks.get(precision, len(ranks)) > ranks.get(than, len(ranks))
