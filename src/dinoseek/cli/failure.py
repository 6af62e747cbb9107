"""How a failure is told: a line on stderr, a JSON object if JSON was asked for, an exit code."""

import json
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches

import click

from dinoseek.errors import DinoseekError, MachineError, UsageError, printable

INTERNAL = 1  # a fault of ours
RESUME = "interrupted; run the same command again to continue"


def tell(exc: Exception, arguments: Sequence[str]) -> int:
    """Tells what went wrong and returns the exit code."""
    if "--debug" in arguments:
        traceback.print_exception(exc)
    error = as_error(exc)
    if error is None:
        return _tell_internal(exc, arguments)
    _line(f"error: {error}")
    _json({**error.as_dict(), "error": str(error), "exit_code": error.exit_code}, arguments)
    return error.exit_code


def tell_interrupted(exit_code: int, arguments: Sequence[str]) -> int:
    """Tells that a signal ended the command, and that nothing is lost."""
    _line(RESUME)
    _json({"code": "interrupted", "error": RESUME, "exit_code": exit_code}, arguments)
    return exit_code


def as_error(exc: Exception) -> DinoseekError | None:
    """`exc` as one of our errors; None if it is a fault of the program."""
    match exc:
        case DinoseekError():
            return exc
        case click.ClickException():
            return _usage(exc)
        case MemoryError():
            reason = "not enough memory"
            fix = "try a smaller --batch-size or --max-megapixels"
            return MachineError("machine.memory", "this machine", reason, fix=fix)
        case OSError():
            return MachineError("machine.io", exc.filename or "file", exc.strerror or str(exc))
        case _:
            return None


def _usage(exc: click.ClickException) -> UsageError:
    ctx = getattr(exc, "ctx", None)
    path = ctx.command_path if ctx else "dinoseek"
    see = f"see {path} --help"
    if isinstance(exc, click.NoSuchOption):
        known = [name for param in ctx.command.params for name in param.opts] if ctx else []
        near = get_close_matches(exc.option_name, known, 1)
        fix = f"did you mean {near[0]}? {see}" if near else see
        return UsageError("usage.unknown_option", exc.option_name, "no such option", fix=fix)
    reason = " ".join(exc.format_message().split()).rstrip(".")
    kind = "missing" if isinstance(exc, click.MissingParameter) else "bad_value"
    return UsageError(f"usage.{kind}", path, reason[:1].lower() + reason[1:], fix=see)


def _tell_internal(exc: Exception, arguments: Sequence[str]) -> int:
    what = printable(f"{type(exc).__name__}: {exc}")
    line = f"error: internal: {what}; this is a fault in dinoseek, --debug shows where"
    _line(line)
    _json({"code": "internal", "error": what, "exit_code": INTERNAL}, arguments)
    return INTERNAL


def _json(error: dict[str, object], arguments: Sequence[str]) -> None:
    if {"--json", "--jsonl"} & set(arguments):
        print(json.dumps(error), file=sys.stdout, flush=True)


def _line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
