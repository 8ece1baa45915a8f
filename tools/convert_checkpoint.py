"""Converts a checkpoint of the authors' release to one that the toolboxes load.

python tools/convert_checkpoint.py SRC DST
"""

import argparse
import sys
from pathlib import Path

import torch

from mmcontnet.fileio import whole_file
from mmcontnet.weights.official import convert_official, infer_settings
from mmcontnet.weights.reading import read_checkpoint


def main() -> None:
    """Reads, converts and writes."""
    parser = argparse.ArgumentParser(description="Converts a checkpoint of the authors' release.")
    parser.add_argument('src', type=Path, help='the checkpoint of the release')
    parser.add_argument('dst', type=Path, help='the file to write')
    args = parser.parse_args()
    try:
        checkpoint = read_checkpoint(args.src)
    except ValueError as error:
        sys.exit(str(error))
    try:
        state_dict = convert_official(checkpoint)
    except ValueError as error:
        sys.exit(f'{args.src}: {error}')
    args.dst.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(args.dst) as file:
        torch.save(dict(state_dict=state_dict), file)
    settings = ', '.join(f'{name}={value!r}' for name, value in infer_settings(state_dict).items())
    print(f'{len(state_dict)} weights written to {args.dst}')
    print(f'The backbone is ConTNet({settings}).')
    print(
        'pre_norm, the dropout rates and, with absolute positions, the heads leave no trace in the weights: check them.'
    )
    print(f"Load it with init_cfg=dict(type='Pretrained', checkpoint='{args.dst}', prefix='backbone.').")


if __name__ == '__main__':
    main()
