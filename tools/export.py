"""Exports a trained model to a folder that python -m mmcontnet.deploy runs without torch.

usage: python tools/export.py CONFIG CHECKPOINT --out DIR [--format {onnx,pt2}] [--compile] [--half]
                              [--check [PICTURE]] [--cfg-options KEY=VALUE ...] [--traceback]

Example:
    python tools/export.py configs/retinanet_contm_coco.py work_dirs/retinanet_contm_coco/epoch_12.pth --out exported

DIR gets model.onnx, from the picture to the boxes, label map or classes, and model.json, with the classes, how pictures
are resized, and the config. Pictures may have any size. --format pt2 writes model.pt2 for torch.export.load, and with
--compile compiled.pt2, which AOTInductor compiles for processors like this one; this takes a C++ compiler and minutes.

--check compares the exported model with the checkpoint's on PICTURE, or else on the first picture of the config's test
data, and writes nothing if they differ. tools/test.py CONFIG DIR evaluates it.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

from mmengine.logging import MMLogger

from mmcontnet.commands import (
    about,
    add_cfg_options,
    command,
    command_parser,
    config_file,
    existing_file,
    output_folder,
)
from mmcontnet.toolboxes import find_entry_point, read_config


@command
def main() -> None:
    """Reads the arguments."""
    try:
        from mmcontnet.export import export
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}; pip install 'mmcontnet[export]'") from error
    parser = command_parser(__doc__)
    parser.add_argument('config', metavar='CONFIG', type=config_file, help='config that the model was trained with')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', type=existing_file, help='its weights')
    parser.add_argument('--out', metavar='DIR', type=output_folder, required=True, help='folder to write, empty or new')
    parser.add_argument('--format', choices=['onnx', 'pt2'], default='onnx', help='default: onnx')
    parser.add_argument('--compile', action='store_true', help='compile --format pt2 for pictures one at a time')
    parser.add_argument('--half', action='store_true', help='let the network compute in 16 bits: a file half the size')
    parser.add_argument('--check', metavar='PICTURE', nargs='?', const='', help='compare with the checkpoint')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.compile and args.format != 'pt2':
        parser.error('argument --compile: it is for --format pt2')
    MMLogger.get_instance('export', log_level='ERROR')  # The inferencers warn of their own registries.
    cfg = read_config(args.config, args.cfg_options)
    find_entry_point(cfg, 'test.py')  # Says what to install where the toolbox is missing.
    with about(args.config):
        export(cfg, args.checkpoint, args.out, 'compiled' if args.compile else args.format, args.half, args.check)
    if args.format == 'onnx':
        print(f'{args.out} runs by: python -m mmcontnet.deploy {args.out} PICTURE --out predictions')


if __name__ == '__main__':
    main()
