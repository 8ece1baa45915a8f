"""Files that are written whole or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, Union


@contextmanager
def whole_file(path: Union[str, Path]) -> Iterator[BinaryIO]:
    """Opens a file for writing that replaces ``path`` once it is complete.

    Until then it is called ``path`` with ``.part`` at its end. If writing fails or is interrupted, that file is removed
    and ``path`` stays as it was.

    Args:
        path (str | Path): The file to write; its folder exists.

    Yields:
        BinaryIO: The open file.
    """
    unfinished = Path(f'{path}.part')
    try:
        with open(unfinished, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
