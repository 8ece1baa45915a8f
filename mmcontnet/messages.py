"""Texts that fit on a line of a terminal, whatever they quote."""

LONGEST_MESSAGE = 1500


def one_line(text: str) -> str:
    """A text on one line, cut where it is long."""
    text = ' '.join(text[: 2 * LONGEST_MESSAGE].split())
    return printable(text) if len(text) <= LONGEST_MESSAGE else f'{printable(text[:LONGEST_MESSAGE])} ...'


def printable(text: str) -> str:
    """A text without what a terminal would obey or cannot print; names in files may hold anything."""
    return ''.join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
