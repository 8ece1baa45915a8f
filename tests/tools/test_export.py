"""Models of a few channels, exported and run without torch: they find what the models of their checkpoints find."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import mmpretrain_env  # noqa: F401 (makes mmpretrain importable)
import numpy as np
import pytest
import torch
from conftest import ROOT
from helpers import run
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from test_end_to_end import CONFIG
from tool_runner import run_tool

from mmcontnet.deploy import Detections, Predictor
from mmcontnet.export.check import TorchPredictor, convert
from mmcontnet.inference import build_predictor
from mmcontnet.toolboxes import read_config

pytestmark = pytest.mark.slow

SHAPES = """
metainfo = dict(classes=('circle', 'triangle', 'square', 'star'))
data_root = 'work_dirs/demo/shapes/'
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (160, 128)
val = dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline)
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=val)
test_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
"""
RESNET = """backbone=dict(depth=18, base_channels=16, init_cfg=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=16, start_level=1, num_outs=3)"""
RPN = 'rpn_head=dict(in_channels=16, feat_channels=16, anchor_generator=dict(strides=[8, 16, 32]))'
BOX_HEAD = """bbox_roi_extractor=dict(out_channels=16, featmap_strides=[8, 16]),
    bbox_head=dict(in_channels=16, fc_out_channels=16, num_classes=4)"""
FEW = 'test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=30), rcnn=dict(score_thr=0.0, max_per_img=10))'
CONFIGS = {
    'retinanet': f"""{CONFIG}
model['backbone'].update(out_indices=(0, 1))
model['neck'].update(in_channels=[16, 32], num_outs=3)
model['bbox_head'].update(anchor_generator=dict(strides=[4, 8, 16]))
""",
    'fcos': f"""
_base_ = '{ROOT}/configs/fcos_r50_coco.py'
model = dict(
    {RESNET}, bbox_head=dict(in_channels=16, feat_channels=32, num_classes=4, stacked_convs=1, strides=[8, 16, 32]),
    test_cfg=dict(score_thr=0.0, nms_pre=50, max_per_img=10))
{SHAPES}""",
    'faster_rcnn': f"""
_base_ = '{ROOT}/configs/faster_rcnn_r50_coco.py'
model = dict({RESNET}, {RPN}, roi_head=dict({BOX_HEAD}), {FEW})
{SHAPES}""",
    'mask_rcnn': f"""
_base_ = '{ROOT}/configs/mask_rcnn_r50_coco.py'
model = dict(
    {RESNET}, {RPN}, roi_head=dict({BOX_HEAD}, mask_roi_extractor=dict(out_channels=16, featmap_strides=[8, 16]),
    mask_head=dict(in_channels=16, conv_out_channels=16, num_convs=1, num_classes=4)), {FEW})
{SHAPES}""",
    'pspnet': f"""
_base_ = '{ROOT}/configs/pspnet_r50_cityscapes.py'
norm_cfg = dict(type='BN')
model = dict(
    pretrained=None, backbone=dict(depth=18, base_channels=16, norm_cfg=norm_cfg),
    decode_head=dict(in_channels=128, channels=16, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=64, channels=16, norm_cfg=norm_cfg))
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (192, 128)
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
""",
    'classifier': f"""
_base_ = '{ROOT}/configs/r50_imagenet.py'
model = dict(backbone=dict(depth=18, base_channels=16), head=dict(in_channels=128, num_classes=3))
data_preprocessor = dict(num_classes=3)
test_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data_root='classes', split='val', metainfo=dict(classes=('one', 'two', 'three'))))
test_evaluator = dict(topk=(1,))
""",
}


def initialize(model):
    """Random weights with which neither scores nor boxes are alike: maps keep their magnitude from layer to layer."""
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight)
            if name.endswith(('_cls', '_reg')):
                module.weight.data *= 0.3
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # Its statistics become those of the next images.
            module.train()
    with torch.no_grad():
        model.extract_feat(torch.randn(2, 3, 128, 160))


@pytest.fixture(scope='module')
def folder(shapes_folder):
    """Configs and checkpoints with random weights, always the same ones, and pictures."""
    for name, text in CONFIGS.items():
        torch.manual_seed(0)
        (shapes_folder / f'{name}.py').write_text(text)
        cfg = Config.fromfile(shapes_folder / f'{name}.py')
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = MODELS.build(cfg.model).eval()
        initialize(model)
        torch.save(dict(state_dict=model.state_dict()), shapes_folder / f'{name}.pth')
    rng = np.random.default_rng(0)
    for name, size in {'wide.png': (6, 17), 'tall.png': (17, 6), 'even.jpg': (8, 12)}.items():
        blocks = rng.integers(0, 256, (*size, 3), np.uint8)
        cv2.imwrite(str(shapes_folder / name), cv2.resize(blocks, None, fx=20, fy=20, interpolation=cv2.INTER_NEAREST))
    for name in ('one', 'two', 'three'):
        (shapes_folder / 'classes/val' / name).mkdir(parents=True)
        shutil.copy(shapes_folder / 'even.jpg', shapes_folder / f'classes/val/{name}')
    street = shapes_folder / 'data/cityscapes'
    for path, image in {
        'leftImg8bit/val/town/town_leftImg8bit.png': rng.integers(0, 256, (128, 192, 3), np.uint8),
        'gtFine/val/town/town_gtFine_labelTrainIds.png': rng.integers(0, 19, (128, 192), np.uint8),
    }.items():
        (street / path).parent.mkdir(parents=True)
        cv2.imwrite(str(street / path), image)
    return shapes_folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def compare(name, predictor, pictures=('wide.png', 'tall.png', 'even.jpg')):
    """An exported model with the toolbox's on all pictures."""
    reference = build_predictor(read_config(f'{name}.py'), Path(f'{name}.pth'), 'cpu')
    for picture in pictures:
        expected = convert(reference.predict([cv2.imread(picture)])[0])
        found = predictor(picture)
        if isinstance(expected, Detections):
            assert len(found.scores) == len(expected.scores) > 0
            assert (np.diff(found.scores) <= 0).all()
            # One to one: the order of scores that are equal up to rounding is undefined.
            distances = np.abs(found.boxes - expected.boxes[:, None]).max(2)
            distances[expected.labels[:, None] != found.labels] = np.inf
            order = distances.argmin(1)
            assert sorted(order) == list(range(len(order)))
            np.testing.assert_allclose(found.scores[order], expected.scores, atol=1e-4)
            np.testing.assert_allclose(found.boxes[order], expected.boxes, atol=0.05)
            if expected.masks is not None:
                assert (found.masks[order] == expected.masks).mean() > 0.999
        elif hasattr(expected, 'label_map'):
            assert found.label_map.shape == expected.label_map.shape
            assert (found.label_map == expected.label_map).mean() > 0.999
        else:
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
            assert found.labels.tolist() == expected.labels.tolist()


DOCS = (ROOT / 'docs/deployment.md').read_text()


@pytest.fixture(scope='module')
def documented(folder, tmp_path_factory):
    """The folder in which all commands and all code of the page ran, in its order, with Faster R-CNN."""
    project = tmp_path_factory.mktemp('documented')
    names = {
        'configs/retinanet_contm_coco.py': 'faster_rcnn.py',
        'work_dirs/retinanet_contm_coco/epoch_12.pth': 'faster_rcnn.pth',
        'work_dirs/demo': 'work_dirs/demo',
        'photos/cat.jpg': 'even.jpg',
    }
    for name, target in names.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).symlink_to(folder / target)
    blocks = re.findall(r'```(bash|python)\n(.*?)```', DOCS, re.DOTALL)
    assert len(blocks) == 7
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for language, text in blocks:
            if language == 'python':
                exec(text, {})
            elif text.startswith('python tools/'):
                run_tool(*shlex.split(text)[1:])
            else:
                run(sys.executable, *shlex.split(text)[1:], cwd=project)
    return project


def test_documentation_runs(documented):
    assert list(documented.glob('retinanet_contm-*.pth')) and (documented / 'predictions/cat.jpg').is_file()


@pytest.fixture(scope='module')
def exported(folder, documented):
    """Exports a model to ONNX, if no test did before; returns its folder."""

    def exported(name):
        if name == 'faster_rcnn':
            return documented / 'exported'
        out = Path('onnx', name)
        if not out.exists():
            text, _ = run_tool('tools/export.py', f'{name}.py', f'{name}.pth', '--out', out, '--check', 'wide.png')
            assert 'agree' in text
        return out

    return exported


@pytest.mark.parametrize('name', CONFIGS)
def test_onnx_finds_what_the_checkpoint_finds(name, exported):
    assert sorted(os.listdir(exported(name))) == ['model.json', 'model.onnx']
    compare(name, Predictor(exported(name)))


METRICS = {
    'retinanet': 'coco/bbox_mAP',
    'mask_rcnn': 'coco/segm_mAP',
    'pspnet': 'mIoU',
    'classifier': 'accuracy/top1',
}


@pytest.mark.parametrize('name, metric', METRICS.items())
def test_evaluation_of_what_was_exported(name, metric, exported):
    """By the command that evaluates checkpoints, with the same metrics."""
    results = []
    for model in (f'{name}.pth', exported(name)):
        run_tool('tools/test.py', f'{name}.py', model, '--work-dir', 'tests', '--table', 'rows.jsonl')
        results.append(json.loads(Path('rows.jsonl').read_text().splitlines()[-1]))
    torch_row, onnx_row = results
    assert onnx_row['checkpoint'] == str(exported(name)) and metric in onnx_row['metrics']
    for key, value in torch_row['metrics'].items():
        assert onnx_row['metrics'][key] == pytest.approx(value, abs=0.1)


def test_evaluation_draws_as_that_of_a_checkpoint(exported):
    hook = 'default_hooks.visualization'
    draws = [f'{hook}.draw=True', f'{hook}.test_out_dir=drawn', 'visualizer.name=drawn']
    run_tool('tools/test.py', 'retinanet.py', exported('retinanet'), '--work-dir', 'draws', '--cfg-options', *draws)
    assert len(list(Path('draws').rglob('drawn/*.jpg'))) == 3


def test_evaluation_with_the_config_of_another_model(exported):
    folder = exported('mask_rcnn')
    _, errors = run_tool('tools/test.py', 'retinanet.py', folder, '--work-dir', 'other', status=1)
    assert f'{folder} holds a MaskRCNN, the config is for a RetinaNet' in errors.splitlines()[-1]
    folder = exported('retinanet')
    other = 'test_dataloader.dataset.metainfo.classes=[star,square,triangle,circle]'
    command = ['tools/test.py', 'retinanet.py', folder, '--work-dir', 'other', '--cfg-options', other]
    _, errors = run_tool(*command, status=1)
    found = f'{folder} finds circle, triangle, square, star'
    assert f'{found}; the classes of the test data are star, square, triangle, circle' in errors.splitlines()[-1]


def test_evaluation_takes_few_options(exported):
    _, errors = run_tool('tools/test.py', 'retinanet.py', exported('retinanet'), '--tta', status=2)
    assert 'unrecognized arguments: --tta' in errors


# Runs a program as on a machine where only torch is installed.
RUN_ELSEWHERE = """
import sys
sys.modules.update(dict.fromkeys(['mmcontnet', 'mmengine', 'mmcv', 'mmdet', 'torchvision', 'onnxruntime']))
import torch
module = torch.export.load(sys.argv[1]).module()
for images, expected in torch.load('expected.pt'):
    for found, wanted in zip(module(images), expected):
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-4)
print('equal')
"""


def test_program_of_torch_runs_where_only_torch_is_installed(documented):
    program = documented / 'program'
    assert sorted(os.listdir(program)) == ['model.json', 'model.pt2']
    predictor = TorchPredictor(program)
    compare('faster_rcnn', predictor)
    pairs = []
    for height, width in [(70, 90), (97, 130)]:
        images = torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8)
        pairs.append((images, [torch.from_numpy(out) for out in predictor._run(images=images.numpy())]))
    torch.save(pairs, 'expected.pt')
    command = [sys.executable, '-c', RUN_ELSEWHERE, program / 'model.pt2']
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == 'equal\n', result.stderr[-2000:]
    with pytest.raises(ValueError, match=r'model\.pt2 is not for onnxruntime; open it with torch'):
        Predictor(program)


def test_half_precision_is_half_the_size(exported):
    run_tool('tools/export.py', 'classifier.py', 'classifier.pth', '--out', 'half', '--half', '--check', 'wide.png')
    sizes = [Path(folder, 'model.onnx').stat().st_size for folder in ('half', exported('classifier'))]
    assert sizes[0] < 0.7 * sizes[1]
    assert Predictor('half').description.dtype == 'float16'


def test_description_says_where_the_model_is_from(exported):
    description = Predictor(exported('mask_rcnn')).description
    assert description.classes == ['circle', 'triangle', 'square', 'star'] and len(description.palette) == 4
    assert description.checkpoint['sha256'] == hashlib.sha256(Path('mask_rcnn.pth').read_bytes()).hexdigest()
    assert 'MaskRCNN' in description.config and description.packages['torch'] == torch.__version__
    assert (description.max_per_image, description.score_threshold, description.mask_threshold) == (10, 0.0, 0.5)


USAGE, ERROR = 2, 1


@pytest.mark.parametrize(
    'options, status, message',
    [
        ([], USAGE, 'required: --out'),
        (['--out', 'wide.png'], USAGE, 'wide.png is no folder'),
        (['--out', 'work_dirs'], ERROR, 'work_dirs is not empty; name another folder'),
        (['--out', 'new', '--format', 'tflite'], USAGE, "invalid choice: 'tflite'"),
        (['--out', 'new', '--check', 'nowhere.png'], ERROR, 'nowhere.png cannot be read as a picture: No such file'),
        (['--out', 'new', '--check', 'retinanet.py'], ERROR, 'cannot be read as a picture: Pillow does not know'),
        (['--out', '/proc/new'], ERROR, '/proc/new'),
        (
            ['--out', 'new', '--cfg-options', 'model.test_cfg.nms.type=soft_nms'],
            ERROR,
            "test_cfg.nms.type of bbox_head is 'soft_nms', which cannot be exported; expected 'nms'",
        ),
        (
            ['--out', 'new', '--cfg-options', 'model.test_cfg.nms_pre=-1'],
            ERROR,
            'test_cfg.nms_pre of bbox_head is -1; an exported model needs a positive number',
        ),
        (
            ['--out', 'new', '--cfg-options', 'model.test_cfg.nms=None'],
            ERROR,
            'test_cfg.nms of bbox_head is None; an exported model needs dict(type=',
        ),
        (
            ['--out', 'new', '--cfg-options', 'model.test_cfg=None'],
            ERROR,
            'test_cfg of the model is None; an exported model needs its settings',
        ),
        (['--out', 'new', '--cfg-options', 'model.bbox_head.num_classes=5'], ERROR, 'does not fit the model'),
        (['--out', 'new', '--compile'], USAGE, '--compile: it is for --format pt2'),
    ],
)
def test_what_is_wrong_is_one_line(options, status, message):
    _, errors = run_tool('tools/export.py', 'retinanet.py', 'retinanet.pth', *options, status=status)
    assert message in errors.splitlines()[-1] and 'Traceback' not in errors
    assert not Path('new').exists() and not list(Path().glob('*.part'))


@pytest.fixture
def exporter(monkeypatch, exported):
    """An exporter that writes the detector of other tests, whatever the model."""
    content = Path(exported('retinanet'), 'model.onnx').read_bytes()
    monkeypatch.setattr('mmcontnet.export.run.trace', lambda module, batch: None)
    monkeypatch.setattr('mmcontnet.export.run.write', lambda program, outputs, path: path.write_bytes(content))


def test_folder_that_is_there_is_filled(exporter):
    """It may be the root of a file system, or a link: it stays."""
    Path('there').mkdir()
    Path('link').symlink_to('there')
    node = Path('there').stat().st_ino
    run_tool('tools/export.py', 'retinanet.py', 'retinanet.pth', '--out', 'link')
    assert Path('link').is_symlink() and Path('there').stat().st_ino == node
    assert sorted(os.listdir('there')) == ['model.json', 'model.onnx']


def test_masks_of_probabilities_are_refused(exporter):
    options = ['--out', 'soft', '--cfg-options', 'model.test_cfg.rcnn.mask_thr_binary=-1']
    _, errors = run_tool('tools/export.py', 'mask_rcnn.py', 'mask_rcnn.pth', *options, status=1)
    assert 'test_cfg.mask_thr_binary of roi_head is -1, which cannot be exported; expected 0 to 1' in errors


def test_model_that_differs_is_not_handed_over(exporter):
    """As if the exporter were wrong: the file is that of another model."""
    weights = torch.load('retinanet.pth')['state_dict']
    weights['bbox_head.retina_cls.bias'] += 3
    torch.save(weights, 'changed.pth')
    _, errors = run_tool('tools/export.py', 'retinanet.py', 'changed.pth', '--out', 'new', '--check', status=1)
    assert 'the models differ, nothing is written' in errors.splitlines()[-1]
    assert not Path('new').exists() and not list(Path().glob('*.part'))
