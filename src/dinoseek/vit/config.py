"""The shape of a ViT, and DINOv2's four sizes."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

PosFlavour = Literal["hub", "hf", "timm"]


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Everything about a DINOv2 model that its tensors' values do not say.

    `hidden_dim` is the width of the MLP, or of one half of a SwiGLU; `grid` the side of the stored
    position grid in patches; `pos_flavour` whose interpolation of it to follow (see pos_embed.py).
    """

    embed_dim: int
    depth: int
    num_heads: int
    hidden_dim: int
    patch_size: int = 14
    num_register_tokens: int = 0
    swiglu: bool = False
    grid: int = 37
    pos_flavour: PosFlavour = "hub"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            low = 0 if field.name == "num_register_tokens" else 1
            if field.type is int and value < low:
                raise ValueError(f"{field.name} is {value}, expected at least {low}")
        if self.embed_dim % self.num_heads:
            raise ValueError(
                f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}"
            )
        if self.pos_flavour not in get_args(PosFlavour):
            raise ValueError(f"pos_flavour is {self.pos_flavour!r}, expected hub, hf or timm")

    @property
    def head_dim(self) -> int:
        return self.embed_dim // self.num_heads

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


SIZES = {
    "small": ViTConfig(embed_dim=384, depth=12, num_heads=6, hidden_dim=1536),
    "base": ViTConfig(embed_dim=768, depth=12, num_heads=12, hidden_dim=3072),
    "large": ViTConfig(embed_dim=1024, depth=24, num_heads=16, hidden_dim=4096),
    "giant": ViTConfig(embed_dim=1536, depth=40, num_heads=24, hidden_dim=4096, swiglu=True),
}
