"""How many products are wanted, and how they are photographed."""

from dataclasses import dataclass
from typing import Literal, get_args

from dinoseek.errors import UsageError

Background = Literal["plain", "dark", "clutter"]

BACKGROUNDS: tuple[Background, ...] = get_args(Background)
LEAST_SIDE, MOST_SIDE = 16, 1024
MOST_CLASSES = 100_000


@dataclass(frozen=True, kw_only=True)
class Order:
    """Pictures of `size` x `size` pixels of some classes, of which the first half is for training.

    The same order gives the same pictures. The camera goes up to `yaw` radians to each side; `hue`
    turns all colours round the wheel, 1.0 once. Raises UsageError products.order where that cannot
    be.
    """

    classes: int = 120
    size: int = 128
    seed: int = 0
    background: Background = "plain"
    yaw: float = 1.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "classes": (2, MOST_CLASSES),
            "size": (LEAST_SIDE, MOST_SIDE),
            "seed": (0, 2**63 - 1),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                reason = f"is {getattr(self, name)}, expected {least:,} to {most:,}"
                raise UsageError("products.order", name, reason)
        if self.background not in BACKGROUNDS:
            reason = f"is not one of {', '.join(BACKGROUNDS)}"
            raise UsageError("products.order", self.background, reason)
