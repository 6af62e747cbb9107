"""Live against PyTorch and transformers as installed: their files, their names, their tokens."""

from dataclasses import replace

import numpy as np
import pytest

from dinoseek.vit.model import forward
from dinoseek.weights.load import load_params, summarise

torch = pytest.importorskip("torch", reason="needs PyTorch")
transformers = pytest.importorskip("transformers", reason="needs transformers")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore"),  # of the libraries, about themselves
]


def make_model(*, registers: int, swiglu: bool, head: bool = False):
    options = {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56,
        "patch_size": 14, "use_swiglu_ffn": swiglu,
    }  # fmt: skip
    torch.manual_seed(registers + swiglu)
    if registers:
        config = transformers.Dinov2WithRegistersConfig(num_register_tokens=registers, **options)
        kind = "Dinov2WithRegisters"
    else:
        config, kind = transformers.Dinov2Config(**options), "Dinov2"
    model = getattr(transformers, f"{kind}{'ForImageClassification' if head else 'Model'}")(config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = 0.2 * torch.randn_like(value)
            value.copy_(1 + noise if name.endswith(("norm1.weight", "lambda1")) else noise)
    return model.eval()


KINDS = [
    {"registers": registers, "swiglu": swiglu} for registers in (0, 4) for swiglu in (False, True)
]


@pytest.fixture(params=KINDS, ids=str)
def model(request):
    return make_model(**request.param)


def check_tokens(path, model, tolerance=5e-5):
    params, config = load_params(path)
    for height, width in ((56, 56), (42, 98), (70, 28)):
        pixels = np.random.default_rng(height).standard_normal((2, 3, height, width), np.float32)
        with torch.no_grad():
            expected = model(torch.from_numpy(pixels)).last_hidden_state.numpy()
        tokens = forward(pixels, params, replace(config, pos_flavour="hf"))
        found = np.concatenate([tokens.cls[:, None], tokens.registers, tokens.patches], axis=1)
        assert np.abs(found - expected).max() <= tolerance


def test_save_pretrained_files_give_the_same_tokens(model, tmp_path):
    model.save_pretrained(tmp_path)

    check_tokens(tmp_path, model)
    assert summarise(tmp_path).dialect == "huggingface"


def test_sharded_save_pretrained_files_give_the_same_tokens(model, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="200KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()

    check_tokens(tmp_path, model)


def test_the_names_in_memory_give_the_same_tokens(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    model.config.save_pretrained(tmp_path)

    check_tokens(tmp_path, model)


@pytest.mark.parametrize("kind", KINDS[::3], ids=str)
def test_classifiers_are_left_behind(kind, tmp_path):
    model = make_model(**kind, head=True)
    model.save_pretrained(tmp_path)

    base = getattr(model, model.base_model_prefix)
    check_tokens(tmp_path, base)
    assert summarise(tmp_path).prefix.startswith("dinov2")


@pytest.fixture
def facebook(tiny):
    """A state dict in Facebook's names as PyTorch holds it."""
    return {name: torch.from_numpy(value.copy()) for name, value in tiny.flat.items()}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_torch_save_files_of_each_dtype_load(facebook, tiny, same, tmp_path, dtype):
    state = {name: value.to(getattr(torch, dtype)) for name, value in facebook.items()}
    torch.save(state, tmp_path / "dinov2_vits14_pretrain.pth")

    assert same(load_params(tmp_path / "dinov2_vits14_pretrain.pth")[0], tiny.flat)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_torch_save_loads(facebook, tiny, same, tmp_path, protocol):
    torch.save(facebook, tmp_path / "m.pth", pickle_protocol=protocol)

    assert same(load_params(tmp_path / "m.pth")[0], tiny.flat)


def test_a_training_checkpoint_of_pytorch_gives_its_teacher(facebook, tiny, same, tmp_path):
    teacher = {f"module.backbone.{name}": value for name, value in facebook.items()}
    teacher |= {"module.dino_head.last_layer.weight": torch.ones(4, 4)}
    student = {name: value + 1 for name, value in teacher.items()}
    torch.save({"teacher": teacher, "student": student, "iteration": 9}, tmp_path / "c.pth")

    assert same(load_params(tmp_path / "c.pth")[0], tiny.flat)


def test_shared_storages_transposed_views_and_parameters_load(facebook, tiny, same, tmp_path):
    flat = torch.cat([value.reshape(-1) for value in facebook.values()])
    state, start = {}, 0
    for name, value in facebook.items():
        state[name] = flat[start : start + value.numel()].view(value.shape)
        start += value.numel()
    name = "blocks.1.attn.proj.weight"
    state[name] = facebook[name].t().contiguous().t()
    state["norm.bias"] = torch.nn.Parameter(facebook["norm.bias"])
    assert not state[name].is_contiguous()
    torch.save(state, tmp_path / "m.pt")

    assert same(load_params(tmp_path / "m.pt")[0], tiny.flat)


def test_PTH_02_legacy_files_of_pytorch_are_refused(facebook, tmp_path):
    from dinoseek.errors import WeightsError

    torch.save(facebook, tmp_path / "m.pth", _use_new_zipfile_serialization=False)

    with pytest.raises(WeightsError, match="convert to safetensors"):
        load_params(tmp_path / "m.pth")


def test_PTH_02_torchscript_programs_are_refused(tmp_path):
    from dinoseek.errors import WeightsError

    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "m.pt")

    with pytest.raises(WeightsError, match="TorchScript"):
        load_params(tmp_path / "m.pt")


def test_PTH_01_whole_models_are_refused_because_they_are_code(tmp_path):
    from dinoseek.errors import WeightsError

    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt")

    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear"):
        load_params(tmp_path / "m.pt")
