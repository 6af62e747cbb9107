"""The `dinoseek` program: finds the command, runs it, and ends with an exit code."""

import logging
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

import click

from dinoseek.cli import failure
from dinoseek.cli.interrupts import Stopped, stop_on_signals
from dinoseek.cli.settings import FILE_NAME, load_settings
from dinoseek.cli.streams import speak_plainly
from dinoseek.errors import UsageError
from dinoseek.vit.blas import prefer_fast_kernels

# Modules are imported when their command runs, so that --help stays quick.
COMMANDS = {
    "index": ("dinoseek.cli.index", "Put the images of folders into a gallery."),
    "search": ("dinoseek.cli.search", "Find the images that look most like a picture."),
    "serve": ("dinoseek.cli.serve", "Search a gallery in the browser."),
    "explain": ("dinoseek.cli.explain", "Show why a hit was found: which patches match."),
    "map": ("dinoseek.cli.map", "Lay a gallery out in a plane, to look at."),
    "fit": ("dinoseek.cli.fit", "Fit a PCA or a vocabulary on a gallery."),
    "dupes": ("dinoseek.cli.dupes", "Find images that are the same, nearly the same, or alike."),
    "info": ("dinoseek.cli.info", "Show what is in a gallery, or what is installed."),
    "import": ("dinoseek.cli.import_", "Put vectors that were made elsewhere into a gallery."),
    "export": ("dinoseek.cli.export", "Write images and vectors for other programs."),
    "check": ("dinoseek.cli.check", "Prove that a gallery is whole, or repair it."),
    "backup": ("dinoseek.cli.backup", "Copy a gallery while it is being used."),
    "remove": ("dinoseek.cli.remove", "Forget images of a gallery."),
    "evaluate": ("dinoseek.cli.evaluate", "Measure how good a model is on labelled pictures."),
    "train": ("dinoseek.cli.train", "Fine-tune a model on your own labelled pictures."),
    "bench": ("dinoseek.cli.bench", "Measure how fast engines are on this machine."),
    "verify": ("dinoseek.cli.verify", "Compare features with reference features."),
    "models": ("dinoseek.cli.models", "List, download and locate models."),
    "convert": ("dinoseek.cli.convert", "Write weights as safetensors or npz."),
    "config": ("dinoseek.cli.config", "Show the settings, and where they come from."),
    "doctor": ("dinoseek.cli.doctor", "Check this machine and say what to do."),
    "demo": ("dinoseek.cli.demo", "Try a search on a small gallery."),
}

BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports it
INTERRUPTED = 130


def main() -> NoReturn:
    """The entry point: runs the command line of this process and exits."""
    keep = os.environ.get("DINOSEEK_BLAS_KERNELS") == "keep"
    prefer_fast_kernels(keep=keep)  # before anything imports NumPy; later is too late
    speak_plainly()
    stop_on_signals()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; what goes wrong is told on stderr."""
    try:
        status = program.main(list(arguments), prog_name="dinoseek", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
        return BROKEN_PIPE
    except (click.Abort, KeyboardInterrupt):
        return failure.tell_interrupted(INTERRUPTED, arguments)
    except Stopped as stopped:
        return failure.tell_interrupted(128 + stopped.signal, arguments)
    except Exception as exc:
        return failure.tell(exc, arguments)
    return status if isinstance(status, int) else 0


class Program(click.Group):
    """Knows its commands by the table above and imports one only to run it."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        _add_common_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, rest = args[0], args[1:]
        command = self.get_command(ctx, name)
        if command is None:
            near = get_close_matches(name, COMMANDS, 1)
            fix = f"did you mean {near[0]}?" if near else "see dinoseek --help"
            raise UsageError("usage.unknown_command", name, "no such command", fix=fix)
        _refuse_repeats(command, click.Context(command, ctx, name), rest)
        return name, command, rest

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="dinoseek", message="dinoseek %(version)s")
@click.pass_context
def program(ctx: click.Context) -> None:
    """\b
    Examples:
      dinoseek demo
      dinoseek index photos/ --gallery photos.dino
      dinoseek search cat.jpg --gallery photos.dino
      dinoseek search -q cat.jpg -d photos/ --html hits.html

    Finds images by image. Settings may also stand in the environment (DINOSEEK_MODEL, ...)
    or in ./dinoseek.toml.

    Exit codes: 0 good, 2 wrong usage or setting, 3 some images failed, 4 something about this
    machine, 5 a damaged or incompatible file, 130 interrupted.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    settings = load_settings(FILE_NAME)
    ctx.default_map = dict.fromkeys(COMMANDS, settings)
    command = program.get_command(ctx, ctx.invoked_subcommand)
    if isinstance(command, click.Group):  # settings reach `models list` too
        below = dict.fromkeys(command.commands, settings)
        ctx.default_map = {**ctx.default_map, ctx.invoked_subcommand: below}


def _add_common_options(command: click.Command) -> None:
    """Gives a command, and those below a group, -v and --debug where it has not got them."""
    taken = {name for param in command.params for name in param.opts}
    common = [
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_set_verbose,
            help="Say on stderr what is being done.",
        ),
        click.Option(
            ["--debug"], is_flag=True, expose_value=False, help="Show where an error came from."
        ),
    ]
    command.params += [option for option in common if not taken & set(option.opts)]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            below.short_help = below.short_help or _first_sentence(below.help or "")
            _add_common_options(below)


def _first_sentence(text: str) -> str:
    """What a command does, in a list of commands: its help behind the examples."""
    paragraphs = (" ".join(each.split()) for each in text.replace("\b", "").split("\n\n"))
    told = next((each for each in paragraphs if not each.startswith("Examples:")), "")
    return told.split(". ")[0].rstrip(".") + "." if told else ""


def _set_verbose(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    logging.getLogger("dinoseek").setLevel(logging.DEBUG if value else logging.WARNING)


def _refuse_repeats(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """A flag given twice is a slip of which one half would silently be ignored."""
    _, _, order = command.make_parser(ctx).parse_args(list(args))
    seen: set[str] = set()
    for param in order:
        if not isinstance(param, click.Option) or param.multiple or param.count:
            continue
        if param.opts[-1] in seen:
            raise UsageError("usage.repeated", param.opts[-1], "is given twice", fix="give it once")
        seen.add(param.opts[-1])


def _close_stdout() -> None:
    """Points stdout at nothing: its reader is gone, and Python flushes once more at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no real stdout, as in a test
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives until exit
