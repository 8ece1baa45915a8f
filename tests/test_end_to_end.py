"""The commands that users type, on a data set of a few drawn shapes."""

import shutil
import sys
from pathlib import Path

import mmdet
import pytest
import torch
from conftest import ROOT
from helpers import run
from tool_runner import run_tool

from mmcontnet.stacks import distribution_of
from mmcontnet.weights.reading import read_checkpoint

pytestmark = pytest.mark.e2e

# What either stack's mim calls it, and the script by which it trains.
MMDET = distribution_of('mmdet')
TRAIN = Path(mmdet.__file__).with_name('.mim') / 'tools/train.py'

CONFIG = f"""
_base_ = '{ROOT}/demo/retinanet_conts_shapes.py'
model = dict(backbone=dict(arch=dict(_delete_=True, width=16, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8))),
             neck=dict(in_channels=[16, 32, 64, 256]), bbox_head=dict(stacked_convs=1),
             test_cfg=dict(score_thr=0.0, nms_pre=50, max_per_img=20))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
"""


@pytest.fixture(autouse=True)
def inside(project, monkeypatch):
    monkeypatch.chdir(project)


@pytest.fixture(scope='module')
def project(shapes_folder):
    """A folder as a user would have it: data, a config, and a run of a single epoch."""
    (shapes_folder / 'tiny.py').write_text(CONFIG)
    run('mim', 'train', MMDET, 'tiny.py', '--work-dir', 'run', cwd=shapes_folder)
    return shapes_folder


def test_mim_trains_tests_and_resumes(project):
    output = run('mim', 'test', MMDET, 'tiny.py', '--checkpoint', 'run/epoch_1.pth', cwd=project)
    assert 'coco/bbox_mAP' in output
    more = ['--resume', '--cfg-options', 'train_cfg.max_epochs=2']
    output = run('mim', 'train', MMDET, 'tiny.py', '--work-dir', 'run', *more, cwd=project)
    assert 'resumed epoch: 1' in output
    assert (project / 'run/epoch_2.pth').exists()


def test_resumed_training_ends_as_training_left_alone(project):
    """A detector of the toolbox, with its own data pipeline and workers."""
    two_epochs = ['--cfg-options', 'train_cfg.max_epochs=2', 'train_dataloader.num_workers=1', 'randomness.seed=0']
    run_tool('tools/train.py', 'tiny.py', '--work-dir', 'alone', *two_epochs)
    (project / 'resumed').mkdir()
    shutil.copy(project / 'alone/epoch_1.pth', project / 'resumed')
    train = [sys.executable, ROOT / 'tools/train.py', 'tiny.py', '--work-dir', 'resumed']
    output = run(*train, '--resume', 'resumed/epoch_1.pth', *two_epochs, cwd=project)
    assert 'resumed epoch: 1' in output
    alone, resumed = (read_checkpoint(project / name / 'epoch_2.pth')['state_dict'] for name in ('alone', 'resumed'))
    assert all(torch.equal(value, resumed[name]) for name, value in alone.items())


def test_config_without_the_hooks_is_told_so(project):
    (project / 'own.py').write_text("_base_ = 'tiny.py'\ncustom_hooks = []")
    output = ''.join(run_tool(TRAIN, 'own.py', '--work-dir', 'own'))
    assert output.count('ConTNet trains without ExactResumeHook and FiniteHook: resuming is not exact') == 1
    train = ['tools/train.py', 'own.py', '--work-dir', 'own', '--resume', '--cfg-options', 'train_cfg.max_epochs=2']
    output = ''.join(run_tool(*train))
    assert 'without ExactResumeHook and' not in output
    assert 'Resuming is not exact: the checkpoint was saved without ExactResumeHook' in output


def test_tools_evaluate_beside_published_rows(project):
    """The config bears the name of a published row."""
    shutil.copy(project / 'tiny.py', project / 'retinanet_contm_coco.py')
    test = ['tools/test.py', 'retinanet_contm_coco.py', 'run/epoch_1.pth', '--work-dir', 'tools']
    keep = ['--table', 'rows.jsonl', '--show-dir', 'pictures', '--out', 'predictions.pkl']
    output = ''.join(run_tool(*test, *keep))
    assert 'coco/bbox_mAP' in output
    assert '| retinanet_r50_coco (RetinaNet ResNet-50) | published | 36.5 |' in output
    assert len(list(project.glob('tools/*/pictures/*.jpg'))) == 3
    assert (project / 'predictions.pkl').is_file()
    output, _ = run_tool('tools/render_results.py', 'rows.jsonl')
    assert '| retinanet_contm_coco | measured, epoch_1.pth |' in output
    assert '| retinanet_contm_pretrained_coco (RetinaNet ConT-M) | published | 37.9 |' in output


def test_tools_evaluate_with_augmentation_and_on_two_processes(project):
    end = '| tiny | measured, epoch_1.pth |'
    output, _ = run_tool('tools/test.py', 'tiny.py', 'run/epoch_1.pth', '--work-dir', 'tta', '--tta')
    assert end in output
    test = [ROOT / 'tools/dist_test.sh', 'tiny.py', 'run/epoch_1.pth', 2, '--work-dir', 'two', '--table', 'two.jsonl']
    assert end in run(*test, cwd=project, PORT='29536', OMP_NUM_THREADS='1')
    assert len((project / 'two.jsonl').read_text().splitlines()) == 1


def test_checkpoint_starts_another_detector(project):
    """What a detector's training wrote gives its backbone to the next one."""
    init = 'model.backbone.init_cfg.'
    options = [f'{init}type=Pretrained', f'{init}checkpoint=run/epoch_1.pth', f'{init}prefix=backbone.']
    output = ''.join(run_tool(TRAIN, 'tiny.py', '--work-dir', 'next', '--cfg-options', *options))
    assert 'Loaded the weights of ConTNet from run/epoch_1.pth' in output


def test_unconverted_file_stops_training(project):
    golden = torch.load(ROOT / 'tests/data/contnet_golden.pt', weights_only=True)
    torch.save(golden['cases'][0]['state_dict'], project / 'official.pth')
    init = 'model.backbone.init_cfg.'
    options = [f'{init}type=Pretrained', f'{init}checkpoint=official.pth', f'{init}prefix=backbone.']
    with pytest.raises(ValueError, match=r'tools/convert_checkpoint\.py official\.pth DST'):
        run_tool(TRAIN, 'tiny.py', '--work-dir', 'bad', '--cfg-options', *options)
