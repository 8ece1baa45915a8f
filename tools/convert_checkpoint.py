"""Converts a checkpoint of the authors' release to one that the toolboxes load.

Example:
    python tools/convert_checkpoint.py OFFICIAL.pth checkpoints/contm.pth
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

from io import BytesIO
from pathlib import Path

import torch

from mmcontnet.commands import about, command, command_parser, output_path
from mmcontnet.fileio import check_writable, whole_file
from mmcontnet.weights.official import convert_official, infer_settings
from mmcontnet.weights.reading import read_checkpoint


@command
def main() -> None:
    """Reads, converts and writes."""
    parser = command_parser(__doc__)
    parser.add_argument('src', help='the checkpoint of the release')
    parser.add_argument('dst', type=output_path, help='the file to write')
    parser.add_argument('--force', action='store_true', help='overwrite DST')
    args = parser.parse_args()
    prepare(Path(args.src), args.dst, args.force)
    checkpoint = read_checkpoint(args.src)
    with about(args.src):
        state_dict = convert_official(checkpoint)
        settings = ', '.join(f'{name}={value!r}' for name, value in infer_settings(state_dict).items())
    content = BytesIO()  # Written at once, since torch says of a full disk that a position is wrong.
    torch.save(dict(state_dict=state_dict), content)
    with whole_file(args.dst) as file:
        file.write(content.getbuffer())
    print(f'{len(state_dict)} weights written to {args.dst}')
    print(f'The backbone is ConTNet({settings}).')
    print(
        'pre_norm, the dropout rates and, with absolute positions, the heads leave no trace in the weights: check them.'
    )
    print(f"Load it with init_cfg=dict(type='Pretrained', checkpoint={str(args.dst)!r}, prefix='backbone.').")


def prepare(src: Path, dst: Path, force: bool) -> None:
    """Makes the folder of DST, and refuses a DST that must not or cannot be written.

    Raises:
        ValueError: It cannot be written, it is there already and ``force`` is not given, or it is SRC.
    """
    if dst.exists() and src.exists() and dst.samefile(src):
        raise ValueError(f'{dst} is SRC itself; name another file')
    if dst.is_file() and not force:
        raise ValueError(f'{dst} is there already; name another file, or overwrite it with --force')
    try:
        dst.parent.mkdir(parents=True, exist_ok=True)
        check_writable(dst)
    except OSError as error:
        raise ValueError(f'{dst} cannot be written: {error.strerror}') from error


if __name__ == '__main__':
    main()
