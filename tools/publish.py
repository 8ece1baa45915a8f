"""Writes the weights of a checkpoint for others: without optimizer and history, with the config and the classes.

Example:
    python tools/publish.py work_dirs/retinanet_contm_coco/epoch_12.pth retinanet_contm.pth

The name gets the first digits of the file's SHA-256, as retinanet_contm-1a2b3c4d.pth. What is written opens with
torch.load(FILE, weights_only=True) where only torch is installed; OUT may end in .safetensors, too.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import argparse
from pathlib import Path

from mmcontnet.commands import command, command_parser, existing_file, output_file
from mmcontnet.weights.publishing import SUFFIXES, publish


def weights_file(text: str) -> Path:
    """The type of an argument that names a file of weights to write."""
    if not text.endswith(SUFFIXES):
        raise argparse.ArgumentTypeError(f'{text!r} does not end in {" or ".join(SUFFIXES)}')
    return output_file(text)


@command
def main() -> None:
    """Reads and writes."""
    parser = command_parser(__doc__)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', type=existing_file, help='what mmengine wrote in training')
    parser.add_argument('out', metavar='OUT', type=weights_file, help='file to write, .pth or .safetensors')
    args = parser.parse_args()
    file = publish(args.checkpoint, args.out)
    print(f'{args.checkpoint} is {args.checkpoint.stat().st_size} bytes, {file} is {file.stat().st_size}')


if __name__ == '__main__':
    main()
