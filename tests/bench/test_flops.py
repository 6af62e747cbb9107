"""How many operations a forward pass is: by hand, and as PyTorch counts them."""

import dataclasses

import pytest

from dinoseek.bench.flops import flops_per_image
from dinoseek.vit.config import SIZES, ViTConfig

TINY = ViTConfig(embed_dim=4, depth=3, num_heads=2, hidden_dim=5, patch_size=2)


def test_every_product_of_a_small_model_is_counted() -> None:
    patches, tokens = 6, 7  # of 4 x 6 pixels
    embed = patches * 12 * 4
    block = tokens * (4 * 12) + 2 * tokens * tokens * 4 + tokens * 4 * 4 + tokens * (4 * 5 + 5 * 4)

    assert flops_per_image(TINY, (4, 6)) == 2 * (embed + 3 * block)


def test_a_swiglu_has_a_third_matrix_and_registers_are_tokens() -> None:
    plain = flops_per_image(TINY, (4, 6))
    swiglu = flops_per_image(dataclasses.replace(TINY, swiglu=True), (4, 6))
    registers = flops_per_image(dataclasses.replace(TINY, num_register_tokens=2), (4, 6))

    assert swiglu - plain == 2 * 3 * 7 * 4 * 5
    attention = 2 * 3 * (9 * (4 * 12 + 4 * 4) + 2 * 9 * 9 * 4)
    assert registers == 2 * 6 * 12 * 4 + attention + 2 * 3 * 9 * 2 * 4 * 5


def test_the_official_sizes_take_what_is_said_of_them() -> None:
    found = [flops_per_image(config, (224, 224)) / 1e9 for config in SIZES.values()]

    # 6.1 and 23.2 GMAC are what others count for S and B at 224 x 224
    assert found[:2] == pytest.approx([12.2, 46.4], rel=0.01)
    assert found == sorted(found)


@pytest.mark.torch
@pytest.mark.parametrize("swiglu", [False, True])
@pytest.mark.parametrize("registers", [0, 4])
def test_pytorch_counts_the_same_for_transformers(swiglu: bool, registers: int) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    kind, more = ("Dinov2", {})
    if registers:
        kind, more = "Dinov2WithRegisters", {"num_register_tokens": registers}
    settings = getattr(transformers, f"{kind}Config")(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        use_swiglu_ffn=swiglu,
        image_size=56,
        patch_size=14,
        attn_implementation="eager",  # the counter does not see into the fused one on a processor
        **more,
    )
    model = getattr(transformers, f"{kind}Model")(settings).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(pixel_values=torch.zeros(1, 3, 28, 56))

    hidden = 16 * 4
    if swiglu:  # as transformers rounds it
        hidden = (int(hidden * 2 / 3) + 7) // 8 * 8
    config = ViTConfig(
        embed_dim=16,
        depth=2,
        num_heads=2,
        hidden_dim=hidden,
        swiglu=swiglu,
        num_register_tokens=registers,
    )
    assert flops_per_image(config, (28, 56)) == counter.get_total_flops()
