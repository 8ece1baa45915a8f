"""Commands that hand a config over to the toolbox that it is written for."""

import argparse
import difflib
import inspect
import runpy
import sys
from pathlib import Path
from typing import Iterable, List

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from ..toolboxes import find_entry_point, read_config
from ..weights.reading import read_checkpoint
from .distributed import start_on_cpu

# What mmengine and the toolboxes read off a config besides the arguments of the runner.
OTHER_KEYS = (
    'activation_checkpointing',
    'compile',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
)


def run_entry_point(script: str, usage: str, options: List[str] = []) -> None:
    """Runs a script of the toolbox that the config on the command line names as its ``default_scope``.

    The script sees the command line, so all its options work, those of launchers too. Mistakes that it would find late,
    or never, are found here.

    Args:
        script (str): ``'train.py'`` or ``'test.py'``.
        usage (str): What to print where the command line has no config.
        options (list[str]): Changes to the config, as KEY=VALUE, besides those on the command line.

    Raises:
        SystemExit: There is no config, its toolbox is unknown or not installed, an option names no part of the config,
            or a checkpoint cannot be read.
    """
    arguments = sys.argv[1:]
    configs = [argument for argument in arguments if argument.endswith('.py')]
    if not configs:
        print(usage)
        sys.exit(0 if {'-h', '--help'} & set(arguments) else 2)
    cfg = read_config(configs[0])
    entry_point = find_entry_point(cfg, script)

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    parser.add_argument('--launcher')
    known, others = parser.parse_known_args(arguments)
    check_options(cfg, known.cfg_options)
    check_checkpoints(argument for argument in others if argument.endswith('.pth') and '://' not in argument)
    if known.launcher == 'pytorch' and not torch.cuda.is_available():
        options = [*options, *start_on_cpu()]
    if options:
        sys.argv += ['--cfg-options', *options]
    runpy.run_path(str(entry_point), run_name='__main__')


def check_options(cfg: Config, options: Iterable[str]) -> None:
    """Refuses options whose first name nothing reads: mmengine would take a mistyped one in silence."""
    names = {*cfg, *inspect.signature(Runner).parameters, *OTHER_KEYS}
    for option in options:
        name = option.split('.')[0]
        if name not in names:
            similar = difflib.get_close_matches(name, names, 1)
            hint = f'; did you mean {similar[0]}?' if similar else f'; it has {", ".join(sorted(cfg))}'
            sys.exit(f'--cfg-options {option}: there is no {name} in {cfg.filename}{hint}')


def check_checkpoints(paths: Iterable[str]) -> None:
    """Refuses checkpoints that are not there or not whole, before anything is built."""
    for path in paths:
        try:
            read_checkpoint(Path(path))
        except ValueError as error:
            sys.exit(str(error))
