"""Compares models on your data: trains each with the same recipe, data order and seeds, and reports what that tells.

Example:
    python tools/compare.py configs/retinanet_contm_pretrained_coco.py configs/retinanet_r50_coco.py --seeds 3
    python tools/compare.py my_contnet.py my_resnet.py --seeds 5 --epochs 4 --out work_dirs/mine

Every training is a process of its own, one at a time. Killed at any moment and started again, the command keeps what is
finished and resumes what is not. Trainings that diverge are left out, which the report says. Afterwards DIR contains:

    report.md     the conclusion in a sentence, the metric of each seed, differences with 95% intervals over seeds and
                  over images, parameters, multiply-accumulates, time and memory of a training step
    curves.png    loss and validation metric during training
    pictures.png  the five images on which the first two models differ most, with ground truth
    NAME/seed_N   checkpoint and logs of each training

Configs must have all but the model in common: data, schedule, optimizer.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import argparse
import shlex
import sys
import warnings
from pathlib import Path
from typing import Dict, List

from mmengine.config import Config

from mmcontnet.commands import (
    add_cfg_options,
    command,
    command_parser,
    config_file,
    output_folder,
    positive_int,
)
from mmcontnet.comparison.configs import find_differences, prepare_config
from mmcontnet.comparison.cost import measure_costs
from mmcontnet.comparison.report import Model, choose_metric, find_differing, write_nothing_left, write_report
from mmcontnet.comparison.runs import Processes, Run, complete, leave_out_diverged, locked
from mmcontnet.fileio import whole_file

CONFIG = 'config.py'
COSTS = 'costs.json'


def parse_args() -> argparse.Namespace:
    """Reads and checks the command line."""
    parser = command_parser(__doc__)
    parser.add_argument('configs', nargs='+', type=config_file, metavar='CONFIG', help='what to compare, two at least')
    parser.add_argument('--seeds', type=positive_int, default=3, metavar='N', help='trainings of each (default: 3)')
    parser.add_argument('--epochs', type=positive_int, metavar='N', help="epochs of each (default: the configs')")
    parser.add_argument('--allow-different', action='store_true', help='allow other data, schedules and optimizers')
    parser.add_argument(
        '--out',
        type=output_folder,
        default=Path('work_dirs/compare'),
        metavar='DIR',
        help='folder to write to (default: work_dirs/compare)',
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    names = [Path(config).stem for config in args.configs]
    if len(names) < 2:
        parser.error('one CONFIG: there is nothing to compare it with')
    for name in names:
        if names.count(name) > 1:
            parser.error(f'two CONFIGs are called {name}, the name of the folder for their trainings; rename one')
    return args


def check_differences(cfgs: Dict[str, Config], allowed: bool) -> List[str]:
    """How the configs differ from the first, besides their models, as lines of the report.

    Raises:
        ValueError: They do, and it is not allowed.
    """
    first, *others = cfgs.items()
    lines = [f'{first[0]} and {name}: {line}' for name, cfg in others for line in find_differences(first[1], cfg)]
    if lines and not allowed:
        raise ValueError(
            f'the configs differ in more than the model; --allow-different compares them: {"; ".join(lines)}'
        )
    return lines


def write_configs(cfgs: Dict[str, Config], out: Path) -> Dict[str, Path]:
    """Writes the configs as they are trained, and removes what was measured of others.

    Raises:
        ValueError: The folder has trainings of others.
    """
    files = {name: out / name / CONFIG for name in cfgs}
    new = [name for name, file in files.items() if not file.exists() or file.read_text() != cfgs[name].pretty_text]
    for name in new:
        if any(files[name].parent.glob('seed_*')):
            raise ValueError(
                f'{files[name].parent} has trainings of another {name}; choose another --out, or remove it'
            )
    if new:
        (out / COSTS).unlink(missing_ok=True)
    for name in new:
        files[name].parent.mkdir(exist_ok=True)
        with whole_file(files[name]) as file:
            file.write(cfgs[name].pretty_text.encode())
    return files


def draw(run: Run, indices: List[int], processes: Processes) -> List[Path]:
    """Draws the predictions on some test images, and returns the pictures."""
    folder = run.folder.parent / 'pictures'
    processes.draw(run, indices, folder)
    return [folder / f'{number}.png' for number in range(len(indices))]


@command
def main() -> None:
    """Trains, tests and reports."""
    warnings.simplefilter('ignore')  # The toolboxes warn about themselves.
    args = parse_args()
    cfgs = {Path(config).stem: prepare_config(config, args.cfg_options, args.epochs) for config in args.configs}
    differences = check_differences(cfgs, args.allow_different)
    with locked(args.out) as lock:
        files = write_configs(cfgs, args.out)
        costs = measure_costs(cfgs, files, args.out / COSTS)
        runs = {
            name: [
                Run(name, files[name], cfg.train_cfg.get('max_epochs'), seed, args.out / name / f'seed_{seed}')
                for seed in range(args.seeds)
            ]
            for name, cfg in cfgs.items()
        }
        processes = Processes(Path(__file__).parent, lock)
        complete([run for seed in zip(*runs.values()) for run in seed], processes)  # Seed by seed.
        notes = [f'The configs differ in more than the model: {"; ".join(differences)}.'] if differences else []
        notes.append(f'Made by `{shlex.join(["python", *sys.argv])}`.')
        kept, diverged = leave_out_diverged(runs)
        models = [Model(name, own, [run.read_results() for run in own], costs[name]) for name, own in kept.items()]
        if len(models) < 2 or not models[0].runs:
            conclusion = write_nothing_left(list(runs), diverged, notes, args.out)
        else:
            indices = find_differing(*models[:2], choose_metric(models))
            pictures = [draw(model.runs[0], indices, processes) for model in models[:2] if indices]
            conclusion = write_report(models, diverged, pictures, indices, notes, args.out)
    print(f'{conclusion}\n{args.out / "report.md"}')


if __name__ == '__main__':
    main()
