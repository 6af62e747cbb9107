"""LoRA adapters: peft writes and merges them as we do, both ways; what is no LoRA is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dinoseek.errors import MachineError, WeightsError
from dinoseek.train.adapter import Adapter, Low, merged, read_adapter, scale_of, write_adapter
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


def adapter_of(*, swiglu, **options):
    """All of qkv at once, a part of it, what follows, and one of another rank and scale."""
    mlp = [("w12", 176, 64), ("w3", 64, 88)] if swiglu else [("fc1", 128, 64), ("fc2", 64, 128)]
    lows = [
        low_of("blocks.0.attn.qkv", 192, 64, seed=1),
        low_of("blocks.1.attn.qkv", 64, 64, part=2, parts=3, seed=2),
        low_of("blocks.1.attn.proj", 64, 64, rank=5, scale=0.7, seed=3),
        *(low_of(f"blocks.1.mlp.{name}", *shape, seed=4) for name, *shape in mlp),
    ]
    return Adapter(**{"rank": 3, "alpha": 6.0, "rslora": False, "lows": lows, **options})


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("rslora", [False, True])
def test_peft_puts_a_written_adapter_onto_transformers_model(kind, rslora, tmp_path):
    base = saved_params(model_of(**kind), tmp_path / "base")
    alpha = 2 * 3**0.5 if rslora else 6.0
    adapter = adapter_of(swiglu=kind["swiglu"], alpha=alpha, rslora=rslora)
    write_adapter(tmp_path / "adapter", adapter, "dinov2-small")

    model = peft.PeftModel.from_pretrained(model_of(**kind), tmp_path / "adapter").eval()
    pixels = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        tokens = model(pixels).last_hidden_state
    theirs = model.merge_and_unload()

    ours = merged(base, adapter, "it")
    assert_equal(ours, saved_params(theirs, tmp_path / "merged"))
    plain = model_of(**kind)
    with torch.no_grad():
        assert torch.allclose(theirs(pixels).last_hidden_state, tokens, atol=1e-4)
        assert not torch.allclose(plain(pixels).last_hidden_state, tokens, atol=1e-2)


@pytest.mark.parametrize("swiglu", [False, True])
def test_what_is_written_is_read_as_the_same_adapter(swiglu, tmp_path):
    base = load_base(tmp_path, swiglu=swiglu)
    adapter = adapter_of(swiglu=swiglu)
    write_adapter(tmp_path / "adapter", adapter, "dinov2-small")

    found = read_adapter(tmp_path / "adapter")

    assert (found.rank, found.alpha, found.rslora) == (3, 6.0, False)
    assert_equal(merged(base, found, "it"), merged(base, adapter, "it"))
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "dinov2-small"
    assert list(settings["rank_pattern"].values()) == [5]  # no patterns but for the odd one


def test_merging_leaves_the_parameters_as_they_were(tmp_path):
    base = load_base(tmp_path)
    before = {name: value.copy() for name, value in flatten(base).items()}
    for value in flatten(base).values():
        value.flags.writeable = False

    merged(base, adapter_of(swiglu=False), "it")

    assert all(np.array_equal(before[name], value) for name, value in flatten(base).items())


def test_the_product_is_added_to_just_the_rows_of_its_part(tmp_path):
    base = load_base(tmp_path)
    low = low_of("blocks.1.attn.qkv", 64, 64, part=1, parts=3)

    after = merged(base, Adapter(rank=3, alpha=6.0, rslora=False, lows=[low]), "it")

    old, new = (params["blocks"][1]["attn"]["qkv"]["weight"] for params in (base, after))
    expected = old.astype(np.float64)
    for i in range(64):
        for j in range(64):
            expected[64 + i, j] += 2 * sum(float(low.b[i, r]) * low.a[r, j] for r in range(3))
    assert np.abs(new - expected).max() <= 1e-6


def load_base(tmp_path, *, swiglu=False):
    return saved_params(model_of(swiglu=swiglu), tmp_path / "base")


def test_the_scale_is_that_of_the_papers():
    assert scale_of(8, 4, rslora=False) == 2
    assert scale_of(8, 4, rslora=True) == 4


SPELLINGS = {
    "base_model.model.blocks.1.attn.qkv.v": ("blocks.1.attn.qkv", 2, 3),
    "base_model.model.blocks.1.attn.q": ("blocks.1.attn.qkv", 0, 3),
    "base_model.model.backbone.blocks.0.attn.proj": ("blocks.0.attn.proj", 0, 1),
    "blocks.1.mlp.w12": ("blocks.1.mlp.w12", 0, 1),
    "base_model.model.dinov2.encoder.layer.1.attention.attention.key": ("blocks.1.attn.qkv", 1, 3),
    "base_model.model.encoder.layer.1.attention.output.dense": ("blocks.1.attn.proj", 0, 1),
    "base_model.model.base_model.encoder.layer.0.mlp.weights_in": ("blocks.0.mlp.w12", 0, 1),
    "base_model.model.model.encoder.layer.0.mlp.weights_out": ("blocks.0.mlp.w3", 0, 1),
    "base_model.model.encoder.layer.0.mlp.up_proj": ("blocks.0.mlp.w12", 1, 2),
}


@pytest.mark.parametrize(("module", "place"), SPELLINGS.items(), ids=str)
@pytest.mark.parametrize("ending", [".weight", ".default.weight"])
def test_each_spelling_of_a_layer_is_known(module, place, ending, tmp_path):
    write_pair(tmp_path, {f"{module}.lora_{side}{ending}": pair[side] for side in "AB"})

    (low,) = read_adapter(tmp_path).lows

    assert (low.layer, low.part, low.parts) == place
    assert np.array_equal(low.a, pair["A"])
    assert np.array_equal(low.b, pair["B"])
    assert low.scale == 2.5


pair = {"A": np.ones((2, 64), np.float32), "B": np.full((64, 2), 3, np.float32)}
PLAIN = {NAMES.format(side): value for side, value in pair.items()}


def write_pair(folder, tensors=None, **settings):
    """A folder of peft's by hand, so that it can be wrong."""
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 5, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file(PLAIN if tensors is None else tensors, folder / "adapter_model.safetensors")


FOREIGN = {
    "another method": ({"peft_type": "IA3"}, "IA3"),
    "no method": ({"peft_type": None}, "not LORA"),
    "DoRA": ({"use_dora": True}, "use_dora"),
    "transposed": ({"fan_in_fan_out": True}, "fan_in_fan_out"),
    "biases": ({"bias": "lora_only"}, "bias lora_only"),
    "biases of LoRA": ({"lora_bias": True}, "lora_bias"),
    "whole modules": ({"modules_to_save": ["classifier"]}, "modules_to_save"),
    "residual weights": ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights pissa"),
    "singular values": ({"kasa_config": {"beta": 1}}, "kasa_config"),
    "rank 0": ({"r": 0}, "rank 0"),
    "rank of words": ({"r": "eight"}, "rank eight"),
    "no rank": ({"r": None}, "rank None"),
    "other rank": ({"r": 4}, "rank 4"),
    "alpha is no number": ({"lora_alpha": float("nan")}, "lora_alpha nan"),
    "alpha beyond floats": ({"lora_alpha": 10**400}, "lora_alpha 1000"),
    "patterns in a list": ({"rank_pattern": ["q"]}, "rank_pattern"),
    "broken pattern": ({"alpha_pattern": {"(": 2}}, r"bad pattern \("),
    "other rank by pattern": ({"r": 4, "rank_pattern": {"q_proj": 3}}, "not of rank 4"),
    "rank by pattern is a list": ({"r": 4, "rank_pattern": {"q_proj": [2]}}, "not of rank 4"),
    "alpha by pattern": ({"alpha_pattern": {"q_proj": "x"}}, "lora_alpha x"),
}


@pytest.mark.parametrize(("settings", "words"), FOREIGN.values(), ids=FOREIGN)
def test_settings_of_more_or_less_than_lora_are_refused_by_name(settings, words, tmp_path):
    write_pair(tmp_path, **settings)

    with pytest.raises(WeightsError, match=words) as caught:
        read_adapter(tmp_path)

    assert caught.value.code == "adapter.format"
    assert caught.value.fix


OTHERS = {
    "a head": {"base_model.model.classifier.weight": pair["A"]},
    "a bias": {"base_model.model.encoder.layer.0.attention.q_proj.lora_B.bias": pair["A"][0]},
    "DoRA": {"base_model.model.encoder.layer.0.mlp.fc1.lora_magnitude_vector": pair["A"][0]},
    "a convolution": {NAMES.format("A").replace("q_proj", "patch"): pair["A"]},
    "an inner name": {NAMES.format("A").replace("model.encoder", "text.encoder"): pair["A"]},
}


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
def test_unknown_tensors_are_refused_by_name(others, tmp_path):
    write_pair(tmp_path, PLAIN | others)

    with pytest.raises(WeightsError, match="has base_model") as caught:
        read_adapter(tmp_path)

    assert caught.value.code == "adapter.format"
    assert next(iter(others)) in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({NAMES.format("A"): pair["A"]}, r"only lora_A for blocks\.0\.attn\.qkv"),
        ({NAMES.format("B"): pair["B"]}, r"only lora_B for blocks\.0\.attn\.qkv"),
        ({**PLAIN, NAMES.format("A"): pair["A"][0]}, "has matrices"),
        ({**PLAIN, NAMES.format("A"): pair["A"][:1]}, "has matrices"),
        (PLAIN | {NAMES.format("A").replace("A.", "A.default."): pair["A"]}, "twice"),
        ({}, "adapts no layer"),
    ],
    ids=["A alone", "B alone", "a vector", "other ranks", "twice", "nothing"],
)
def test_what_is_no_pair_of_matrices_is_refused(tensors, words, tmp_path):
    write_pair(tmp_path, tensors)

    with pytest.raises(WeightsError, match=words) as caught:
        read_adapter(tmp_path)

    assert caught.value.code == "adapter.format"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value, tmp_path):
    wrong = pair["B"].copy()
    wrong[5, 1] = value
    write_pair(tmp_path, PLAIN | {NAMES.format("B"): wrong})

    with pytest.raises(WeightsError, match=r"q_proj\.lora_B") as caught:
        read_adapter(tmp_path)

    assert caught.value.code == "adapter.nonfinite"


def test_whole_numbers_are_refused(tmp_path):
    write_pair(tmp_path, PLAIN | {NAMES.format("A"): pair["A"].astype(np.int32)})

    with pytest.raises(WeightsError, match="I32") as caught:
        read_adapter(tmp_path)

    assert caught.value.code == "adapter.dtype"


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(name, tmp_path):
    write_pair(tmp_path)
    (tmp_path / name).unlink()

    with pytest.raises(MachineError, match=name) as caught:
        read_adapter(tmp_path)

    assert caught.value.code == "adapter.missing"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_config.json", b"{"),
        ("adapter_config.json", b"[1]"),
        ("adapter_config.json", b"[" * 100_000),
        ("adapter_config.json", b"\xff"),
        ("adapter_model.safetensors", b""),
        ("adapter_model.safetensors", b"\x08" + bytes(7) + b"{broken}"),
        ("adapter_model.safetensors", b"PK\x03\x04 and so on"),
    ],
)
def test_a_damaged_file_is_named(name, content, tmp_path):
    write_pair(tmp_path)
    (tmp_path / name).write_bytes(content)

    with pytest.raises(WeightsError, match=name) as caught:
        read_adapter(tmp_path)

    assert caught.value.code in ("adapter.corrupt", "adapter.format")


def test_a_pickle_is_not_opened(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")

    with pytest.raises(
        WeightsError, match=r"adapter_model\.bin: is a pickle.*save it again"
    ) as caught:
        read_adapter(tmp_path)

    assert caught.value.code == "adapter.pickle"


def test_an_adapter_of_another_model_is_refused_by_the_layer(tmp_path):
    base = load_base(tmp_path)
    good = low_of("blocks.1.attn.proj", 64, 64)
    wrong = {
        "blocks.2.attn.proj": replace(good, layer="blocks.2.attn.proj"),
        "blocks.1.mlp.w12": low_of("blocks.1.mlp.w12", 176, 64),
        "blocks.1.mlp.fc1": low_of("blocks.1.mlp.fc1", 128, 32),
        "blocks.1.attn.qkv": low_of("blocks.1.attn.qkv", 192, 64, part=1, parts=3),
    }
    for layer, low in wrong.items():
        adapter = Adapter(rank=3, alpha=6.0, rslora=False, lows=[good, low])
        with pytest.raises(WeightsError, match=f"their-adapter: .*{layer}") as caught:
            merged(base, adapter, "their-adapter")
        assert caught.value.code == "adapter.model"


def test_a_folder_that_cannot_be_made_is_the_machines_fault(tmp_path):
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(MachineError, match="taken"):
        write_adapter(tmp_path / "taken", adapter_of(swiglu=False), "dinov2-small")


def test_what_is_written_are_two_files_of_float32(tmp_path):
    write_adapter(tmp_path, adapter_of(swiglu=False), "dinov2-small")

    tensors = load_file(tmp_path / "adapter_model.safetensors")

    assert {value.dtype.name for value in tensors.values()} == {"float32"}
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
