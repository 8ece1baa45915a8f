"""The shell of all commands: their arguments, their errors and what they leave behind."""

import argparse
import functools
import logging
import os
import signal
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional

from mmengine.config import DictAction
from mmengine.logging import MMLogger
from mmengine.registry import build_from_cfg

from .fileio import check_writable
from .messages import one_line

CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorates the ``main`` of a command.

    Errors become one line on stderr with status 1, and Ctrl-C status 130. The traceback is in the log of the run, if
    there is one; ``--traceback`` shows it.
    """

    @functools.wraps(main)
    def run() -> None:
        shows_traceback = '--traceback' in sys.argv
        try:
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # As scripts set it for their imports.
                signal.signal(signal.SIGINT, signal.default_int_handler)
            main()
            sys.stdout.flush()
        except KeyboardInterrupt:
            print('Interrupted', file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:  # As by `| head`. Nobody reads what is left, see Python's documentation of SIGPIPE.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            if shows_traceback:
                raise
            log_traceback()
            sys.exit(describe(error))

    return run


def describe(error: BaseException) -> str:
    """What to tell a user of an error, on one line."""
    message = str(error)
    if isinstance(error, OSError) and error.filename:
        message = f'{error.filename}: {error.strerror}'
    elif isinstance(error, KeyError) and error.args:  # Shown as its repr by Python.
        message = str(error.args[0])
    if 'Original Traceback' in message:  # Of a worker that loads data.
        message = message.strip().splitlines()[-1]
    message = one_line(message)
    if message and _is_explained(error):
        return message
    part = _find_part(error)
    of_part = one_line(f', in {part!r:.300}') if part else ''
    return f'{type(error).__name__}: {message}{of_part} (--traceback shows where)'


def _is_explained(error: BaseException) -> bool:
    """Whether the message says enough: it is of the system, or raised by a line of this project."""
    if isinstance(error, (OSError, ImportError)):
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = not frames or frames[-1].f_globals.get('__name__', '').split('.')[0] in ('mmcontnet', '__main__')
    return ours and isinstance(error, (ValueError, FloatingPointError))


def _find_part(error: BaseException) -> Optional[Dict[str, Any]]:
    """The innermost part of a config that mmengine was building, whose messages rarely name it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code is build_from_cfg.__code__]
    part = frames[-1].f_locals['cfg'] if frames else None
    plain = (str, int, float, list, tuple, dict, type(None))  # It holds objects, too, as the optimizer of a schedule.
    return {key: value for key, value in part.items() if isinstance(value, plain)} if isinstance(part, dict) else None


@contextmanager
def about(name: str) -> Iterator[None]:
    """Names what an error inside is about.

    Raises:
        ValueError: There was an error; the message begins with the name.
    """
    try:
        yield
    except Exception as error:
        message = describe(error)
        raise ValueError(message if name in message else f'{name}: {message}') from error


def log_traceback() -> None:
    """Writes the traceback of the error being handled to the log file of mmengine's run."""
    for handler in MMLogger.get_current_instance().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.stream.write(traceback.format_exc().encode(errors='backslashreplace').decode())
            handler.flush()


def command_parser(doc: str, **kwargs: Any) -> argparse.ArgumentParser:
    """A parser that describes a command by the docstring of its module, and knows what :func:`command` acts on.

    Args:
        doc (str): The docstring.
        kwargs: Of ``ArgumentParser``.
    """
    parser = argparse.ArgumentParser(
        usage=read_usage(doc),
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **kwargs,
    )
    parser.add_argument('--traceback', action='store_true', help='show where an error was raised')
    return parser


def read_usage(doc: str) -> Optional[str]:
    """The paragraph of a docstring that begins with ``usage:``, if there is one."""
    return doc.partition('usage: ')[2].partition('\n\n')[0] or None


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeyValues, default={}, metavar='KEY=VALUE', help='changes to the config'
    )


class KeyValues(DictAction):
    """mmengine's action, with usage errors for what it cannot parse."""

    def __call__(self, parser, namespace, values, option_string=None):  # noqa: D102
        for value in values:
            try:
                if value.startswith('='):
                    raise ValueError(value)
                super().__call__(parser, namespace, [value], option_string)
            except (AssertionError, ValueError):
                raise argparse.ArgumentError(self, f'{value!r} is not KEY=VALUE with balanced brackets') from None


def positive_int(text: str) -> int:
    """The type of an argument that is an integer from 1."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f'{text!r} is no positive integer')
    return int(text)


def non_negative_int(text: str) -> int:
    """The type of an argument that is an integer from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is no integer from 0')
    return int(text)


def fraction(text: str) -> float:
    """The type of an argument that is a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:  # NaN neither.
        raise argparse.ArgumentTypeError(f'{text!r} is no number from 0 to 1')
    return value


def existing_file(text: str) -> Path:
    """The type of an argument that names a file to read."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f'{text!r}: there is no such file')
    return Path(text)


def existing_folder(text: str) -> Path:
    """The type of an argument that names a folder to read."""
    if not os.path.isdir(text):  # To pathlib, '' is the current folder.
        raise argparse.ArgumentTypeError(f'{text!r} is a file' if os.path.exists(text) else f'{text!r} does not exist')
    return Path(text)


def existing_path(text: str) -> Path:
    """The type of an argument that names a file or folder to read."""
    if not os.path.exists(text):
        raise argparse.ArgumentTypeError(f'{text!r} does not exist')
    return Path(text)


def output_path(text: str) -> Path:
    """The type of an argument that names what to write, here and not in a storage such as s3://."""
    if not text or '://' in text:
        raise argparse.ArgumentTypeError(f'{text!r} is no path of this machine')
    return Path(text)


def output_file(text: str) -> Path:
    """The type of an argument that names a file to write, which is tried at once."""
    path = output_path(text)
    try:
        check_writable(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f'{text} cannot be written: {error.strerror}') from None
    return path


def output_folder(text: str) -> Path:
    """The type of an argument that names a folder to write to, which is made where it is missing."""
    path = output_path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f'{text} is no folder')
    return path


def config_file(text: str) -> str:
    """The type of an argument that names a config."""
    path = Path(text)
    if path.is_dir() or path.suffix not in CONFIG_SUFFIXES:
        raise argparse.ArgumentTypeError(f'{text!r} is no config: expected a file that ends in .py')
    if not path.is_file():
        raise argparse.ArgumentTypeError(f'{text}: there is no such config')
    return text
