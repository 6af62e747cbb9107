"""`dinoseek convert`: any checkpoint to one safetensors or .npz file."""

from pathlib import Path

import click


@click.command("convert")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--float16", is_flag=True, help="Store half-precision values, half the size.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def command(source: Path, target: Path, *, float16: bool, force: bool) -> None:
    """\b
    Examples:
      dinoseek convert dinov2_vits14_pretrain.pth small.safetensors
      dinoseek convert small.safetensors small.npz --float16

    Converts weights to a .safetensors or .npz file with Facebook's names.

    IN is a PyTorch, safetensors or .npz checkpoint in Facebook's, Hugging Face's or timm's names,
    the index of a sharded one, or a folder with one of these. OUT's suffix decides the format. The
    result is read back and compared before the command succeeds.
    """
    from dinoseek.errors import UsageError
    from dinoseek.weights.load import load_params, save_params, summarise, verify_saved
    from dinoseek.weights.save import StoredFloat, refuse_suffix

    refuse_suffix(target)
    if target.exists() and not force:
        raise UsageError("file.exists", target, "is there already", fix="use --force to replace it")
    summary = summarise(source)
    config = summary.config
    click.echo(
        f"{summary.path}: {summary.container}, {summary.dialect} names, {summary.tensors} tensors"
        f" ({', '.join(summary.dtypes)}), {summary.parameters:,} parameters; embed_dim"
        f" {config.embed_dim}, depth {config.depth}, heads {config.num_heads}, registers"
        f" {config.num_register_tokens}, {'SwiGLU' if config.swiglu else 'MLP'}",
        err=True,
    )
    params, config = load_params(source)
    dtype: StoredFloat = "float16" if float16 else "float32"
    save_params(target, params, config, dtype=dtype)
    verify_saved(target, params, config, dtype=dtype)
    click.echo(target)
