"""Starts a script on several processes of one or more nodes, as torchrun does.

Example:
    python tools/launch.py 8 tools/train.py configs/retinanet_contm_coco.py --launcher pytorch

NNODES, NODE_RANK, MASTER_ADDR and PORT are read from the environment. tools/dist_*.sh call this command.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import argparse
import os
import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from mmcontnet.commands import command, command_parser, non_negative_int, positive_int

SETTINGS = (
    ('NNODES', positive_int, '1'),
    ('NODE_RANK', non_negative_int, '0'),
    ('MASTER_ADDR', str, '127.0.0.1'),
    ('PORT', positive_int, '29500'),
)


@command
def main() -> None:
    """Starts the processes and waits for them; ends with the status of the first that failed."""
    parser = command_parser(__doc__)
    parser.add_argument('processes', metavar='PROCESSES', type=positive_int, help='processes on this node')
    parser.add_argument('command', metavar='COMMAND', nargs=argparse.REMAINDER, help='a script and its arguments')
    for name, kind, default in SETTINGS:
        parser.add_argument(f'--{name}', type=kind, default=os.environ.get(name, default), help=argparse.SUPPRESS)
    args = parser.parse_args()
    nodes = [f'--nnodes={args.NNODES}', f'--node-rank={args.NODE_RANK}', f'--nproc-per-node={args.processes}']
    address = [f'--master-addr={args.MASTER_ADDR}', f'--master-port={args.PORT}']
    try:
        run(parse_args([*nodes, *address, *args.command]))
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        raise
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        print(f'Process {rank} ended with status {failure.exitcode}; see its output above', file=sys.stderr)
        sys.exit(max(failure.exitcode, 1))


if __name__ == '__main__':
    main()
