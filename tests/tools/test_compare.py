import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from test_end_to_end import CONFIG
from tool_runner import run_tool

from mmcontnet.weights.reading import read_checkpoint

pytestmark = pytest.mark.e2e

TOOL = 'tools/compare.py'
FILES = {
    'small.py': CONFIG,
    'wide.py': "_base_ = 'small.py'\nmodel = dict(backbone=dict(arch=dict(width=32)), "
    'neck=dict(in_channels=[32, 64, 128, 512]))',
    'fast.py': "_base_ = 'small.py'\noptim_wrapper = dict(optimizer=dict(lr=1e-2))",
    'other/small.py': "_base_ = '../small.py'",
    'untested.py': "_base_ = 'small.py'\ntest_dataloader = test_cfg = test_evaluator = None",
    'used/small/config.py': '',
    'used/small/seed_0/train.log': '',
    'notes.txt': 'notes',
}


@pytest.fixture(scope='module')
def folder(shapes_folder):
    for name, text in FILES.items():
        (shapes_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (shapes_folder / name).write_text(text)
    return shapes_folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def start(*arguments):
    """Starts a command in a process group of its own."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_killed_comparison_goes_on_to_the_same_weights_and_a_report(folder):
    """Killed with all its processes in the second training, when that has its first checkpoint."""
    compare = [TOOL, 'small.py', 'wide.py', '--seeds', 1, '--epochs', 2, '--out', 'out']
    process = start(ROOT / TOOL, *compare[1:])
    deadline = time.time() + 600
    while not Path('out/wide/seed_0/epoch_1.pth').exists():
        assert process.poll() is None and time.time() < deadline, process.communicate()[0][-3000:]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = Path('out/small/seed_0/test/results.json')
    written = finished.stat().st_mtime
    output, _ = run_tool(*compare)
    assert finished.stat().st_mtime == written
    assert 'resumed epoch: 1' in Path('out/wide/seed_0/train.log').read_text()

    report = Path('out/report.md').read_text()
    conclusion = report.splitlines()[2]
    assert conclusion in output and '1 seed, 3 images' in conclusion and output.endswith('out/report.md\n')
    assert '| wide | ' in report and '| coco/bbox_mAP_50 | ' in report and 'GMACs, 160x128' in report
    assert cv2.imread('out/curves.png') is not None
    assert ('](pictures.png)' in report) == Path('out/pictures.png').exists()

    run_tool('tools/train.py', 'out/wide/config.py', '--work-dir', 'alone', '--cfg-options', 'randomness.seed=0')
    alone, killed = (read_checkpoint(f'{run}/epoch_2.pth')['state_dict'] for run in ('alone', 'out/wide/seed_0'))
    assert all(torch.equal(value, killed[name]) for name, value in alone.items())
    cfg = Config.fromfile('out/small/seed_0/config.py')
    assert (cfg.randomness.seed, cfg.train_cfg.max_epochs) == (0, 2)


@pytest.mark.parametrize(
    'arguments, status, message',
    [
        ([], 2, 'required: CONFIG'),
        (['small.py'], 2, 'one CONFIG: there is nothing to compare it with'),
        (['small.py', 'other/small.py'], 2, 'two CONFIGs are called small'),
        (['small.py', 'notes.txt'], 2, "'notes.txt' is no config"),
        (['small.py', 'wide.py', '--seeds', '0'], 2, "'0' is no positive integer"),
        (['small.py', 'wide.py', '--out', 'notes.txt'], 2, 'notes.txt is no folder'),
        (['small.py', 'wide.py', '--cfg-options', 'modle.x=3'], 1, 'did you mean model?'),
        (['small.py', 'fast.py'], 1, 'small and fast: optim_wrapper.optimizer.lr: 0.0005 and 0.01'),
        (['small.py', 'untested.py'], 1, 'untested.py sets no test_dataloader; a comparison trains and tests'),
        (
            ['small.py', 'wide.py', '--out', 'used'],
            1,
            'used/small has trainings of another small; choose another --out',
        ),
    ],
)
def test_what_is_wrong_is_one_line(folder, arguments, status, message):
    _, errors = run_tool(TOOL, *arguments, status=status)
    assert message in errors.splitlines()[-1] and 'Traceback' not in errors
    assert not Path('work_dirs/compare').exists()
