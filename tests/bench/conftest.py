"""A model of a few thousand parameters in a file, and combinations of it."""

from pathlib import Path

import pytest

from dinoseek.bench.models import Model, random_params
from dinoseek.bench.plan import Case
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.save import save_params

TINY = ViTConfig(embed_dim=16, depth=2, num_heads=2, hidden_dim=32, grid=4)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_params(path, random_params(TINY), TINY)
    return Model(name="tiny", path=path, config=TINY)


@pytest.fixture
def case(model: Model) -> Case:
    return Case(engine="numpy", precision="auto", model=model, size=(28, 42), batch=2, threads=1)


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    """A file that is not there."""
    return tmp_path / "nobody.json"
