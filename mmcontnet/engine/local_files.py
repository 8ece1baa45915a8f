"""mmengine's files, written whole or not at all."""

import os
from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend

from ..fileio import whole_file


class WholeBackend(LocalBackend):
    """mmengine's local files, written whole or not at all."""

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Writes bytes, and makes the folder where it is missing."""
        os.makedirs(os.path.dirname(os.path.realpath(filepath)), exist_ok=True)
        with whole_file(filepath) as file:
            file.write(obj)

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8') -> None:
        """Writes text."""
        self.put(obj.encode(encoding), filepath)


def register_whole_files() -> None:
    """Makes mmengine write local files by :class:`WholeBackend`."""
    register_backend('local', WholeBackend, prefixes='', force=True)
