"""LoRA adapters: peft writes and merges them as we do, both ways; what is no LoRA is refused."""

import numpy as np
import pytest

from dinoseek.train.adapter import Adapter, Low, merged, read_adapter
from dinoseek.weights.load import load_params
from dinoseek.weights.naming import flatten

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = [
    pytest.mark.torch,
    # transformers about its own names, when peft asks a model for its attributes
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    # peft, where a pattern is for a layer that this kind of model has not
    pytest.mark.filterwarnings("ignore:.*keys did not match any targeted module:RuntimeWarning"),
]

KINDS = [{"swiglu": False}, {"swiglu": True}, {"swiglu": False, "registers": 4}]
NAMES = "base_model.model.encoder.layer.0.attention.q_proj.lora_{}.weight"


def model_of(*, swiglu, registers=0, head=False):
    options = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2,
               "image_size": 28, "patch_size": 14, "use_swiglu_ffn": swiglu}  # fmt: skip
    torch.manual_seed(3)
    if registers:
        config = transformers.Dinov2WithRegistersConfig(num_register_tokens=registers, **options)
        return transformers.Dinov2WithRegistersModel(config).eval()
    kind = transformers.Dinov2ForImageClassification if head else transformers.Dinov2Model
    return kind(transformers.Dinov2Config(**options)).eval()


def adapted(model, **options):
    """peft's model with random matrices, neither of them zero."""
    asked = {"r": 3, "lora_alpha": 5, "target_modules": "all-linear", **options}
    model = peft.get_peft_model(model, peft.LoraConfig(**asked))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_" in name:
                value.normal_(0, 0.3)
    return model


def saved_params(model, folder):
    model.save_pretrained(folder)
    return load_params(folder)[0]


def assert_equal(found, expected, tolerance=1e-6):
    found, expected = flatten(found), flatten(expected)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - value).max() <= tolerance, name


def assert_changes(params, other):
    """Each linear layer of each block is another one."""
    before, after = flatten(params), flatten(other)
    same = [name for name in before if np.array_equal(before[name], after[name])]
    adapted_ones = [n for n in before if before[n].ndim == 2 and n.startswith("blocks.")]
    assert adapted_ones
    assert not set(same) & set(adapted_ones)


OPTIONS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "two layers": {"target_modules": ["q_proj", "v_proj"]},
    "rank by pattern": {"rank_pattern": {"q_proj": 2, r"layer.1\..*proj": 4}},
    "alpha by pattern": {"alpha_pattern": {"^encoder.layer.0.attention.v_proj": 11, "fc2": 1}},
    "both, rslora": {
        "use_rslora": True,
        "rank_pattern": {"k_proj": 7},
        "alpha_pattern": {"k_proj": 2, "encoder.layer.1.attention.q_proj": 9},
    },
}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_adapter_of_peft_is_merged_as_peft_merges_it(kind, options, tmp_path):
    base = saved_params(model_of(**kind), tmp_path / "base")
    model = adapted(model_of(**kind), **options)
    model.save_pretrained(tmp_path / "adapter")

    ours = merged(base, read_adapter(tmp_path / "adapter"), "it")

    theirs = saved_params(model.merge_and_unload(), tmp_path / "merged")
    assert_equal(ours, theirs)
    if options == {}:
        assert_changes(base, ours)


def test_an_adapter_of_a_classifier_is_one_of_its_backbone(tmp_path):
    base = saved_params(model_of(swiglu=False, head=True), tmp_path / "base")
    model = adapted(model_of(swiglu=False, head=True), target_modules=["q_proj", "fc1"])
    model.save_pretrained(tmp_path / "adapter")

    ours = merged(base, read_adapter(tmp_path / "adapter"), "it")

    assert_equal(ours, saved_params(model.merge_and_unload(), tmp_path / "merged"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_adapters_in_half_precision_are_read(dtype, tmp_path):
    model = adapted(model_of(swiglu=False)).to(dtype)
    model.save_pretrained(tmp_path)

    low = next(low for low in read_adapter(tmp_path).lows if low.layer == "blocks.1.mlp.fc2")

    theirs = model.base_model.model.encoder.layer[1].mlp.fc2.lora_B["default"].weight
    assert np.array_equal(low.b, theirs.detach().float().numpy())


def low_of(layer, out, width, *, part=0, parts=1, rank=3, scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal(s, np.float32) * 0.3 for s in ((rank, width), (out, rank)))
    return Low(layer=layer, part=part, parts=parts, a=a, b=b, scale=scale)


def adapter_of(*, swiglu, scale=2.0, rank=3, alpha=6.0):
    """Fused q, k and v; v alone; and what follows them, in one block or the other."""
    inner = [("w12", 256 // 3 * 0 + 192, 64), ("w3", 64, 96)] if swiglu else [("fc1", 128, 64)]
    lows = [
        low_of("blocks.0.attn.qkv", 192, 64, seed=1, scale=scale),
        low_of("blocks.1.attn.qkv", 64, 64, part=2, parts=3, seed=2, scale=scale),
        low_of("blocks.1.attn.proj", 64, 64, seed=3, scale=scale),
    ]
    return Adapter(rank=rank, alpha=alpha, rslora=False, lows=lows), inner
