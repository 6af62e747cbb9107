"""The eight official DINOv2 models: names, where they are published, and how to recognise them."""

from dataclasses import dataclass, replace

from dinoseek.vit.config import SIZES, ViTConfig

FACEBOOK_URL = "https://dl.fbaipublicfiles.com/dinov2"


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A published model: `filename` at `revision` of the Hugging Face `repo`, or Facebook's `url`.

    `bytes` is the size of that file and `sha256` its hash, which for two of them is not published;
    the hub's own is compared then. `parameters` counts all but the unused mask token.
    """

    name: str
    aliases: tuple[str, ...]
    repo: str
    revision: str
    filename: str
    url: str
    bytes: int
    sha256: str | None
    parameters: int
    config: ViTConfig
    licence: str = "Apache-2.0"

    @property
    def local_names(self) -> tuple[str, ...]:
        """Files of a models folder that are taken to be this model, in order of preference."""
        return (
            f"{self.name}.safetensors",
            f"{self.name}/{self.filename}",
            f"{self.name}/{self.filename}.index.json",
            f"{self.name}.npz",
            self.url.rpartition("/")[2],
            f"vit-{self.name}.npz",  # as in the course material that converted Hugging Face's
        )


def plain(size: str, *aliases: str, revision: str, bytes: int, sha256: str) -> KnownModel:
    return KnownModel(
        name=f"dinov2-{size}",
        aliases=(hub_name(size), *aliases),
        repo=f"facebook/dinov2-{size}",
        revision=revision,
        filename="model.safetensors",
        url=f"{FACEBOOK_URL}/{hub_name(size)}/{hub_name(size)}_pretrain.pth",
        bytes=bytes,
        sha256=sha256,
        parameters=PARAMETERS[size],
        config=SIZES[size],
    )


def with_registers(size: str, *, revision: str, bytes: int, sha256: str | None) -> KnownModel:
    config = replace(SIZES[size], num_register_tokens=4)
    return KnownModel(
        name=f"dinov2-{size}-reg",
        aliases=(f"{hub_name(size)}_reg", f"{size}-reg"),
        repo=f"facebook/dinov2-with-registers-{size}",
        revision=revision,
        filename="model.safetensors",
        url=f"{FACEBOOK_URL}/{hub_name(size)}/{hub_name(size)}_reg4_pretrain.pth",
        bytes=bytes,
        sha256=sha256,
        parameters=PARAMETERS[size] + 4 * config.embed_dim,
        config=config,
    )


def hub_name(size: str) -> str:
    """What torch.hub calls a size: dinov2_vits14."""
    return f"dinov2_vit{size[0]}14"


PARAMETERS = {"small": 22056192, "base": 86579712, "large": 304367616, "giant": 1136479232}

# The hashes are those of the hub's own records, as several independent projects have pinned them.
MODELS = (
    plain(
        "small",
        "small",
        revision="ed25f3a31f01632728cabb09d1542f84ab7b0056",
        bytes=88249960,
        sha256="ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
    ),
    plain(
        "base",
        "base",
        revision="f9e44c814b77203eaa57a6bdbbd535f21ede1415",
        bytes=346345912,
        sha256="d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841",
    ),
    plain(
        "large",
        "large",
        revision="47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
        bytes=1217522888,
        sha256="399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
    ),
    plain(
        "giant",
        "giant",
        "largest",
        revision="611a9d42f2335e0f921f1e313ad3c1b7178d206d",
        bytes=4546005432,
        sha256="917d3c470db999d32a312f8542149be91c7cbac61ee8fb4b67ae3d82b79ce21f",
    ),
    with_registers(
        "small",
        revision="0d9846e56b43a21fa46d7f3f5070f0506a5795a9",
        bytes=88256200,
        sha256=None,
    ),
    with_registers(
        "base",
        revision="a1d738ccfa7ae170945f210395d99dde8adb1805",
        bytes=346358296,
        sha256="7a6f7b3b9fa4b8732e707476a03cd6cdce210048582f21aafb7991c17d98e362",
    ),
    with_registers(
        "large",
        revision="e4c89a4e05589de9b3e188688a303d0f3c04d0f3",
        bytes=1217539376,
        sha256=None,
    ),
    with_registers(
        "giant",
        revision="8d0d49f77fb8b5dd78842496ff14afe7dd4d85cb",
        bytes=4546030112,
        sha256="c03832d44691e99b62ae28c4dfa2f134853a3614b3756c94f525109cce5a5051",
    ),
)
