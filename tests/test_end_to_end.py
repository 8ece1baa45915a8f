"""The commands that users type, on a data set of a few drawn shapes."""

import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from helpers import run

sys.path.insert(0, str(ROOT / 'demo'))
import shapes

CONFIG = f"""
_base_ = '{ROOT}/demo/retinanet_conts_shapes.py'
model = dict(backbone=dict(arch=dict(_delete_=True, width=8, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8))),
             neck=dict(in_channels=[8, 16, 32, 128]), bbox_head=dict(stacked_convs=1),
             test_cfg=dict(score_thr=0.0))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder as a user would have it: data, a config, and a run of a single epoch."""
    folder = tmp_path_factory.mktemp('project')
    counts, shapes.COUNTS = shapes.COUNTS, {'train2017': 6, 'val2017': 3}
    shapes.write_coco(folder / 'work_dirs/demo/shapes')
    shapes.COUNTS = counts
    (folder / 'tiny.py').write_text(CONFIG)
    run('mim', 'train', 'mmdet', 'tiny.py', '--work-dir', 'run', cwd=folder)
    return folder


def test_mim_trains_tests_and_resumes(project):
    output = run('mim', 'test', 'mmdet', 'tiny.py', '--checkpoint', 'run/epoch_1.pth', cwd=project)
    assert 'coco/bbox_mAP' in output
    more = ['--resume', '--cfg-options', 'train_cfg.max_epochs=2']
    output = run('mim', 'train', 'mmdet', 'tiny.py', '--work-dir', 'run', *more, cwd=project)
    assert 'resumed epoch: 1' in output
    assert (project / 'run/epoch_2.pth').exists()


def test_tools_do_the_same(project):
    output = run(sys.executable, ROOT / 'tools/train.py', 'tiny.py', '--work-dir', 'tools', cwd=project)
    assert 'Epoch(val) [1]' in output
    show = ['--show-dir', 'pictures', '--work-dir', 'tools']
    output = run(sys.executable, ROOT / 'tools/test.py', 'tiny.py', 'tools/epoch_1.pth', *show, cwd=project)
    assert 'coco/bbox_mAP' in output
    assert len(list(project.glob('tools/*/pictures/*.jpg'))) == 3


def test_checkpoint_starts_another_detector(project):
    """What a detector's training wrote gives its backbone to the next one."""
    init = 'model.backbone.init_cfg.'
    options = [f'{init}type=Pretrained', f'{init}checkpoint=run/epoch_1.pth', f'{init}prefix=backbone.']
    output = run('mim', 'train', 'mmdet', 'tiny.py', '--work-dir', 'next', '--cfg-options', *options, cwd=project)
    assert 'Loaded the weights of ConTNet from run/epoch_1.pth' in output


def test_unconverted_file_stops_training(project):
    golden = torch.load(ROOT / 'tests/data/contnet_golden.pt', weights_only=True)
    torch.save(golden['cases'][0]['state_dict'], project / 'official.pth')
    init = 'model.backbone.init_cfg.'
    options = [f'{init}type=Pretrained', f'{init}checkpoint=official.pth', f'{init}prefix=backbone.']
    output = run(
        'mim', 'train', 'mmdet', 'tiny.py', '--work-dir', 'bad', '--cfg-options', *options, cwd=project, status=1
    )
    assert 'tools/convert_checkpoint.py official.pth DST' in output


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_tools_say_what_is_wrong(tool, tmp_path):
    command = [sys.executable, ROOT / 'tools' / tool]
    assert 'usage:' in run(*command, '-h', cwd=tmp_path)
    assert 'usage:' in run(*command, cwd=tmp_path, status=2)
    assert 'missing.py: there is no such config' in run(*command, 'missing.py', cwd=tmp_path, status=1)
    (tmp_path / 'other.py').write_text("default_scope = 'mmtrack'")
    assert "default_scope is 'mmtrack'" in run(*command, 'other.py', cwd=tmp_path, status=1)


def test_overfit_reports(project):
    base = project / 'tiny.py'
    command = [sys.executable, ROOT / 'tools/overfit.py', base, '--images', 2, '--epochs', 1, '--size', 96]
    assert 'AP50 on 2 training images: ' in run(*command, '--ap50', '0.0', cwd=project)
    assert 'the mark is 1.0' in run(*command, '--ap50', '1.0', cwd=project, status=1)


def test_wheel_carries_what_mim_looks_for(tmp_path):
    """Merely installed, in an empty folder, mim finds the config; it then stops for want of data."""
    source = tmp_path / 'source'
    ignored = shutil.ignore_patterns('.git', '.venv', 'work_dirs', 'data', '*.egg-info', 'build')
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    pip = [sys.executable, '-m', 'pip', '-q']
    run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', tmp_path, source, cwd=tmp_path)
    wheel = next(tmp_path.glob('*.whl'))
    names = zipfile.ZipFile(wheel).namelist()
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            assert f'mmcontnet/.mim/{path.relative_to(ROOT)}' in names
    run(*pip, 'install', '--no-deps', '--target', tmp_path / 'site', wheel, cwd=tmp_path)
    empty = tmp_path / 'empty'
    empty.mkdir()
    command = ['mim', 'train', 'mmcontnet', 'retinanet_contm_coco.py']
    output = run(*command, cwd=empty, status=1, PYTHONPATH=str(tmp_path / 'site'))
    assert f'{tmp_path}/site/mmcontnet/.mim/configs/retinanet_contm_coco.py' in output
    assert 'data/coco/annotations/instances_train2017.json' in output
    assert Path(empty, 'work_dirs').is_dir()
