"""Renders the rows that ``tools/test.py --table FILE`` kept as tables in Markdown, beside the published ones.

python tools/render_results.py FILE
"""

import argparse
import sys
from pathlib import Path

from mmcontnet.evaluation.results import read_results, render_results


def main() -> None:
    """Reads and renders."""
    parser = argparse.ArgumentParser(description='Renders the rows kept by tools/test.py --table as Markdown.')
    parser.add_argument('file', type=Path, help='the file given to --table')
    args = parser.parse_args()
    try:
        results = read_results(args.file)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(render_results(results))


if __name__ == '__main__':
    main()
