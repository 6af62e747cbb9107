"""A few drawn products and a small random model, to train."""

import numpy as np
import pytest

from dinoseek.products.folder import write_products
from dinoseek.products.order import Order
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.infer import tensor_shapes
from dinoseek.weights.naming import nest
from dinoseek.weights.save import save_params

CONFIG = ViTConfig(embed_dim=32, depth=2, num_heads=2, hidden_dim=64, grid=2)


@pytest.fixture(scope="session")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("products")
    for _ in write_products(folder, Order(classes=48, size=32)):
        pass
    return folder


@pytest.fixture(scope="session")
def random_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    rng = np.random.default_rng(0)
    flat = {}
    for name, shape in tensor_shapes(CONFIG).items():
        if name.endswith("gamma") or ("norm" in name and name.endswith("weight")):
            flat[name] = np.ones(shape, np.float32)
        else:
            flat[name] = rng.normal(0, 0.1, shape).astype(np.float32)
    save_params(path, nest(flat), CONFIG)
    return path


@pytest.fixture
def settings(products, random_model, tmp_path):
    """What a quick run is asked to do, as text for a YAML file."""
    return {
        "model": str(random_model),
        "data": str(products),
        "output_dir": str(tmp_path / "run"),
        "preprocess": "squash@28",
        "val_share": 0.3,
        "epochs": 2,
        "batch_size": 16,
        "num_workers": 0,
        "lora_r": 4,
        "device": "cpu",
        "learning_rate": 0.01,
        "ema_decay": 0.5,
    }
