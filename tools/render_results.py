"""Renders the rows kept by ``tools/test.py --table FILE`` as Markdown tables, beside the published results.

Example:
    python tools/render_results.py rows.jsonl
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

from mmcontnet.commands import command, command_parser, existing_file
from mmcontnet.evaluation.results import read_results, render_results


@command
def main() -> None:
    """Reads and renders."""
    parser = command_parser(__doc__)
    parser.add_argument('file', type=existing_file, help='the file given to --table')
    print(render_results(read_results(parser.parse_args().file)))


if __name__ == '__main__':
    main()
