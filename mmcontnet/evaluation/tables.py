"""Tables in Markdown, and the files that they are written to."""

import argparse
from pathlib import Path
from typing import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (header, ['---'] * len(header), *rows))


def output_file(name: str) -> Path:
    """The type of a command's argument that names a file to write; its folder must be there."""
    path = Path(name)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f'{name} cannot be written: it is a folder, or its folder does not exist')
    return path
