"""Commands that hand a config over to the toolbox that it is written for."""

import argparse
import os
import runpy
import sys
from typing import Sequence

import torch
from mmengine.config import Config
from mmengine.device import get_device

from .. import memory
from ..commands import about, add_cfg_options, config_file, output_folder, read_usage
from ..fileio import check_writable
from ..missing_hooks import find_missing, line_to_add
from ..toolboxes import check_optimizer, check_torchvision, draw_names_as_written, find_entry_point, read_config
from ..weights.pretrained import check_files
from ..weights.reading import read_checkpoint
from .distributed import start_on_cpu
from .local_files import register_whole_files

# What launchers tell each process.
RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}


def run_entry_point(script: str, usage: str, hooks: Sequence[str] = ()) -> None:
    """Runs a script of the toolbox that the config on the command line names as its ``default_scope``.

    The script sees the command line, so all its options work, those of launchers too. Mistakes that it would find late,
    or never, are found here.

    Args:
        script (str): ``'train.py'`` or ``'test.py'``.
        usage (str): What to print where the command line has no config.
        hooks (Sequence[str]): Types of hooks that the config gets where it has none of them.

    Raises:
        SystemExit: The command line is wrong.
        ValueError: The config, a checkpoint or an option is wrong, or the script failed.
    """
    args = parse_arguments(script, usage)
    cfg = read_config(args.config, args.cfg_options, import_custom_modules=False)
    with about(args.config):
        entry_point = find_entry_point(cfg, script)
        if script == 'train.py':
            check_torchvision(cfg)
            check_optimizer(cfg)
            check_pretrained(cfg)
    for path in (args.checkpoint, cfg.get('load_from')):
        if isinstance(path, str) and path != 'auto' and '://' not in path:
            checkpoint = read_checkpoint(path)
            if script == 'train.py' and path == args.checkpoint and not isinstance(checkpoint.get('meta'), dict):
                raise ValueError(f'{path} holds weights, but no training to resume; --cfg-options load_from={path}')
    if args.out and cfg.default_scope != 'mmseg':  # To mmseg it is a folder.
        with about(f'--out {args.out}'):
            check_writable(args.out)

    if args.cfg_options.get('default_hooks', {}) is None:
        raise ValueError('--cfg-options default_hooks=None: set single hooks to None, as default_hooks.logger=None')
    options = [*add_hooks(cfg, hooks), *draw_predictions(cfg, args, hooks)]
    missing = find_missing(str(cfg.to_dict())) if script == 'train.py' else []
    if missing:
        print(
            f'{args.config} lacks {" and ".join(missing)}; this command adds them. To use them with other commands, '
            f'add to the config: {line_to_add(missing)}',
            file=sys.stderr,
        )
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        with about('--launcher pytorch'):
            options += start_on_cpu()
    if options:
        sys.argv += ['--cfg-options', *options]
    if get_device() == 'cpu':
        memory.advise()
    register_whole_files()
    draw_names_as_written()
    with about(args.config):
        runpy.run_path(str(entry_point), run_name='__main__')


def parse_arguments(script: str, usage: str) -> argparse.Namespace:
    """Reads off the command line what is checked here; the rest is for the toolbox to parse.

    Options with a value must be known, so that it is not taken for the config.
    """
    parser = argparse.ArgumentParser(usage=read_usage(usage), add_help=False, allow_abbrev=False)
    wants_help = bool({'-h', '--help'} & set(sys.argv))
    parser.add_argument('config', type=config_file, nargs='?' if wants_help else None)
    if script == 'train.py':
        parser.add_argument('--resume', dest='checkpoint', nargs='?')
    else:
        parser.add_argument('checkpoint', nargs='?' if wants_help else None)
    parser.add_argument('--work-dir', type=output_folder)
    for option in ('--launcher', '--out', '--out-item', '--show-dir', '--wait-time', '--interval'):
        parser.add_argument(option)
    parser.add_argument('--local_rank', '--local-rank')
    for option in ('--amp', '--show'):
        parser.add_argument(option, action='store_true')
    add_cfg_options(parser)
    args, _ = parser.parse_known_args()
    if wants_help and args.config is None:
        print(usage)
        sys.exit()
    rank = RANKS.get(args.launcher)
    if rank and rank not in os.environ:
        parser.error(f'--launcher {args.launcher}: {rank} is not set; start the processes with tools/dist_*.sh or srun')
    if args.amp and get_device() == 'cpu':
        parser.error('--amp: mixed precision needs a GPU, and there is none; leave it out')
    return args


def check_pretrained(cfg: Config) -> None:
    """Looks for the file of weights that ConTNet starts from, before the data are read.

    Raises:
        ValueError: It is missing.
    """
    backbone = (cfg.get('model') or {}).get('backbone')
    if isinstance(backbone, dict) and 'ConTNet' in str(backbone.get('type')):
        check_files(backbone.get('init_cfg'))


def draw_predictions(cfg: Config, args: argparse.Namespace, hooks: Sequence[str]) -> list:
    """Changes to the hook that draws predictions, where they are asked for, as KEY=VALUE.

    mmseg would draw few images of a test; for mmpretrain's see
    :class:`~mmcontnet.engine.hooks.class_pictures.ClassPicturesHook`.
    """
    hook = (cfg.get('default_hooks') or {}).get('visualization') or {}
    option = 'default_hooks.visualization'
    shows = args.show or args.show_dir
    if cfg.default_scope == 'mmseg' and shows and hook and f'{option}.interval' not in args.cfg_options:
        return [f'{option}.interval=1']
    if cfg.default_scope == 'mmpretrain' and hook.get('type') == 'VisualizationHook':
        return [f'{option}.type=ClassPicturesHook'] if shows or 'TensorboardHook' in hooks else []
    return []


def add_hooks(cfg: Config, hooks: Sequence[str]) -> list:
    """Changes to a config that add hooks where it has none of their types, as KEY=VALUE."""
    present = [*(cfg.get('custom_hooks') or ()), *(cfg.get('default_hooks') or {}).values()]
    types = [hook.get('type') for hook in present if isinstance(hook, dict)]
    names = {str(getattr(kind, '__name__', kind)).rpartition('.')[2] for kind in types}  # Without the scope.
    options = [f'default_hooks.{hook}.type={hook}' for hook in hooks if hook not in names]
    # mmengine merges nothing into None, which is a way to have its own default hooks.
    return ['default_hooks._delete_=True', *options] if cfg.get('default_hooks', {}) is None else options
