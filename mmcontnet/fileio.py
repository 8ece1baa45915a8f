"""Files that are written whole or not at all."""

import errno
import glob
import os
import platform
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, Union


@contextmanager
def whole_file(path: Union[str, Path]) -> Iterator[BinaryIO]:
    """Opens a file for writing that replaces ``path`` once it is complete.

    Until then it has a name of its own that ends in ``.part``. If writing fails or is interrupted, that file is removed
    and ``path`` stays as it was; what a killed process left is removed by the next that writes ``path``. A link stays a
    link; the file that it points to is replaced.

    Args:
        path (str | Path): The file to write; its folder exists.

    Yields:
        BinaryIO: The open file.

    Raises:
        OSError: It cannot be written.
    """
    path = os.path.realpath(path)
    _remove_leftovers(path)
    unfinished = _name_unfinished(path)
    try:
        with open(unfinished, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        error.filename = error.filename or path  # Python does not say which file a full disk is about.
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def check_writable(path: Union[str, Path]) -> None:
    """Tries whether :func:`whole_file` can write a file; whatever is there stays as it is.

    Raises:
        OSError: It cannot: the path is a folder or a device, or its folder does not exist or is read-only.
    """
    path = os.path.realpath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, 'it is a folder', path)
    if not os.path.isdir(os.path.dirname(path)):
        raise FileNotFoundError(errno.ENOENT, 'its folder does not exist', path)
    if os.path.lexists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, 'it is no regular file', path)
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, 'it is read-only', path)
    unfinished = _name_unfinished(path)
    try:
        unfinished.touch()
    finally:
        unfinished.unlink(missing_ok=True)


def _name_unfinished(path: str) -> Path:
    return Path(f'{path}.{platform.node()}.{os.getpid()}.part')  # Processes of one run may write the same file.


def _remove_leftovers(path: str) -> None:
    """Removes the unfinished files of this machine whose processes are gone."""
    for leftover in glob.glob(f'{glob.escape(f"{path}.{platform.node()}")}.*.part'):
        process = leftover.split('.')[-2]
        if os.name == 'posix' and process.isdecimal():
            try:
                os.kill(int(process), 0)  # No signal, merely a question.
            except ProcessLookupError:
                Path(leftover).unlink(missing_ok=True)
            except (OSError, OverflowError):
                pass  # It runs and is another user's, or no process has such a number.
