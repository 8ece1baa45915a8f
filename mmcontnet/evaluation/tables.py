"""Tables in Markdown."""

from typing import Sequence

from ..messages import one_line


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    escaped = [[one_line(cell).replace('|', '\\|') for cell in row] for row in rows]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (header, ['---'] * len(header), *escaped))
