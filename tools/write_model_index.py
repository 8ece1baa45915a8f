"""Writes the index of models that mim lists, from the published results; for maintainers, after a change of them.

Example:
    python tools/write_model_index.py  # writes model-index.yml
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

from mmcontnet.commands import command, command_parser, output_file
from mmcontnet.evaluation.model_index import render_model_index
from mmcontnet.fileio import whole_file


@command
def main() -> None:
    """Renders and writes."""
    parser = command_parser(__doc__)
    parser.add_argument(
        '--out', metavar='FILE', type=output_file, default='model-index.yml', help='default: model-index.yml'
    )
    with whole_file(parser.parse_args().out) as file:
        file.write(render_model_index().encode())


if __name__ == '__main__':
    main()
