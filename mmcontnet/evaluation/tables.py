"""Tables in Markdown."""

from typing import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    escaped = [[' '.join(cell.split()).replace('|', '\\|') for cell in row] for row in rows]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (header, ['---'] * len(header), *escaped))
