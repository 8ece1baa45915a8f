"""Prediction with models of a few channels and random weights, on drawn pictures."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import mmpretrain_env  # noqa: F401 (makes mmpretrain importable)
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from pycocotools import mask as coco_mask
from test_end_to_end import CONFIG
from tool_runner import run_tool

from mmcontnet.inference import run as inference_run
from mmcontnet.inference.predictors import number_categories
from mmcontnet.inference.sources import find_sources

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 64, 96
ARCH = 'dict(_delete_=True, width=16, depths=(1, 1, 1, 1), mlp_widths=(16, 16, 16, 16))'
NECK = 'neck=dict(in_channels=[16, 32, 64, 256], out_channels=16)'
# Random detectors find anything, with low scores.
CONFIGS = {
    'detector': CONFIG,
    'instances': f"""
_base_ = '{ROOT}/configs/mask_rcnn_contm_coco.py'
metainfo = dict(classes=('left', 'right'))
few = dict(nms_pre=30, max_per_img=9)
model = dict(
    backbone=dict(arch={ARCH}), {NECK}, rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16), mask_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=16, num_classes=2),
        mask_head=dict(in_channels=16, conv_out_channels=16, num_convs=1, num_classes=2)),
    test_cfg=dict(rpn=few, rcnn=dict(score_thr=0.0, max_per_img=5)))
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (96, 64)
test_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
""",
    'segmentor': f"""
_base_ = '{ROOT}/configs/pspnet_contm_cityscapes.py'
norm_cfg = dict(type='BN')
model = dict(
    backbone=dict(arch={ARCH}), decode_head=dict(in_channels=256, channels=16, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=64, channels=16, norm_cfg=norm_cfg))
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (192, 128)
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
""",
    'classifier': f"""
_base_ = '{ROOT}/configs/contm_imagenet.py'
model = dict(backbone=dict(arch={ARCH}), head=dict(in_channels=256, num_classes=3))
data_preprocessor = dict(num_classes=3)
test_dataloader = dict(dataset=dict(metainfo=dict(classes=('one', 'two', 'three'))))
""",
}


def draw(path, height=HEIGHT, width=WIDTH, seed=0):
    """A picture of large areas in strong colors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colors = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    picture = cv2.resize(colors, (width, height), interpolation=cv2.INTER_NEAREST)
    assert cv2.imwrite(str(path), picture[..., :1] if path.suffix == '.pgm' else picture)
    return picture


def draw_video(path, frames=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (WIDTH, HEIGHT))
    for number in range(frames):
        writer.write(np.full((HEIGHT, WIDTH, 3), 30 * number % 256, np.uint8))
    writer.release()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Configs and checkpoints of one model of each kind, and pictures."""
    folder = tmp_path_factory.mktemp('project')
    for name, text in CONFIGS.items():
        (folder / f'{name}.py').write_text(text)
        cfg = Config.fromfile(folder / f'{name}.py')
        model = {**cfg.model, 'data_preprocessor': cfg.model.get('data_preprocessor') or cfg.data_preprocessor}
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            torch.save(MODELS.build(model).state_dict(), folder / f'{name}.pth')
    for seed, name in enumerate(['a.png', 'b.png', 'sub/a.png', 'sub/deeper/c.jpg']):
        draw(folder / 'photos' / name, seed=seed)
    (folder / 'photos/notes.txt').write_text('notes')
    (folder / 'photos/._a.png').write_text('hidden')
    draw_video(folder / 'videos/clip.avi')
    return folder


@pytest.fixture
def predict(folder, monkeypatch, tmp_path):
    """Runs the tool; returns what it wrote to predictions.json, and the lines on stderr."""
    monkeypatch.chdir(folder)

    def predict(line, model='detector', status=0, out=tmp_path / 'out'):
        arguments = [f'{model}.py', f'{model}.pth', *shlex.split(line), '--out', out]
        _, errors = run_tool('tools/predict.py', *arguments, status=status)
        assert 'Traceback' not in errors and not list(out.rglob('*.part*'))
        file = out / 'predictions.json'
        return json.loads(file.read_text()) if file.exists() else None, errors.splitlines()

    return predict


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


def count_frames(path):
    video = cv2.VideoCapture(str(path))
    count = 0
    while video.read()[0]:
        count += 1
    return count


def test_detections_are_those_of_the_inferencer(predict, folder, tmp_path):
    from mmdet.apis import DetInferencer

    results, _ = predict('photos --score 0 --batch 3')
    assert files(tmp_path / 'out') == ['predictions.json'] + [
        f'vis/{name}' for name in ['a.png', 'b.png', 'sub/a.png', 'sub/deeper/c.jpg']
    ]
    inferencer = DetInferencer('detector.py', 'detector.pth', show_progress=False)
    for number, name in enumerate(['a.png', 'b.png', 'sub/a.png', 'sub/deeper/c.jpg'], 1):
        expected = inferencer(str(folder / 'photos' / name))['predictions'][0]
        found = [result for result in results if result['file_name'] == name]
        assert {result['image_id'] for result in found} == {number} and len(found) == 20
        np.testing.assert_allclose([result['score'] for result in found], expected['scores'], atol=1e-5)
        corners = np.array([result['bbox'] for result in found])
        corners[:, 2:] += corners[:, :2]
        np.testing.assert_allclose(corners, expected['bboxes'], atol=1e-3)
        assert [result['category_id'] - 1 for result in found] == expected['labels']
        names = ['circle', 'triangle', 'square', 'star']  # Of the config, since the checkpoint has none.
        assert all(result['category_name'] == names[result['category_id'] - 1] for result in found)


def test_nothing_found_leaves_the_picture_as_it_was(predict, folder, tmp_path):
    results, _ = predict('photos/a.png --score 1')
    assert results == []
    drawn, original = cv2.imread(str(tmp_path / 'out/vis/a.png')), cv2.imread(str(folder / 'photos/a.png'))
    assert drawn.shape == original.shape and np.abs(drawn.astype(int) - original).max() <= 1


@pytest.mark.parametrize('model', ['detector', 'classifier'])
def test_names_of_classes_are_no_formulas(predict, model):
    names = "test_dataloader.dataset.metainfo.classes=('$\\bad$','$\\bad$','$\\bad$','$\\bad$')"
    results, _ = predict(f'photos/a.png --score 0 --cfg-options "{names}"', model)
    assert {result.get('category_name') or result['class_name'] for result in results} == {'$\\bad$'}


def test_masks(predict):
    results, _ = predict('photos/a.png --score 0', 'instances')
    assert len(results) == 5
    for result in results:
        mask = coco_mask.decode(result['segmentation'])
        assert mask.shape == (HEIGHT, WIDTH) and result['category_name'] in ('left', 'right')


def test_label_maps_are_those_of_the_inferencer(predict, folder, tmp_path):
    from mmseg.apis import MMSegInferencer

    draw(folder / 'sizes/wide.png', 48, 96)
    draw(folder / 'sizes/tall.jpg', 96, 48)
    results, _ = predict('photos sizes --batch 4', 'segmentor')
    inferencer = MMSegInferencer('segmentor.py', 'segmentor.pth')
    assert len(results) == 6
    for result in results:
        label_map = cv2.imread(str(tmp_path / 'out' / result['label_map']), cv2.IMREAD_UNCHANGED)
        expected = inferencer(str(folder / result['file_name']))['predictions']
        assert np.mean(label_map == expected) > 0.999
        assert [found['class_id'] for found in result['classes']] == np.unique(label_map).tolist()
        assert (tmp_path / 'out/vis' / result['file_name']).is_file()


def test_classes_are_those_of_the_inferencer(predict, folder, tmp_path):
    from mmpretrain import ImageClassificationInferencer

    draw(folder / 'sizes/wide.png', 48, 96)
    results, _ = predict('photos sizes/wide.png --batch 3', 'classifier')
    inferencer = ImageClassificationInferencer('classifier.py', 'classifier.pth')
    assert len(results) == 5
    for result in results:
        (expected,) = inferencer(str(folder / result['file_name']))
        assert result['class_id'] == expected['pred_label']
        assert result['class_name'] == ('one', 'two', 'three')[result['class_id']]
        assert result['score'] == pytest.approx(expected['pred_score'], abs=1e-5)
        assert (tmp_path / 'out/vis' / result['file_name']).is_file()


@pytest.mark.parametrize('model', ['detector', 'segmentor'])
def test_video_becomes_a_video(predict, tmp_path, model):
    results, _ = predict('videos/clip.avi --batch 3 --score 0', model)
    assert count_frames(tmp_path / 'out/vis/clip.mp4') == 7
    assert sorted({result['frame'] for result in results}) == list(range(7))
    assert {result['file_name'] for result in results} == {'clip.avi'}
    maps = [f'clip/{number:06d}.png' for number in range(7)] if model == 'segmentor' else []
    assert files(tmp_path / 'out/labels') == maps


def test_files_of_one_name_stay_apart(predict, folder, tmp_path):
    for name in ('p/x.pgm', 'p/x.ppm', 'q/x.PNG'):
        draw(folder / 'same' / name)
    results, _ = predict('same/p same/q/x.PNG same/q/x.PNG --score 0')
    assert len({result['image_id'] for result in results}) == 3
    assert files(tmp_path / 'out/vis') == ['p/x.png', 'p/x_2.png', 'q/x.PNG']


def test_results_are_not_predicted_on_again(predict, folder):
    draw(folder / 'own/a.png')
    out = folder / 'own/out'
    first, _ = predict('own --score 0', out=out)
    again, _ = predict("'own/**/*.*' --score 0", out=out)
    assert first == again
    _, errors = predict('own/out/vis/a.png', out=out, status=1)
    assert 'choose another --out' in errors[-1]


def test_pictures_of_all_kinds_are_read(predict, folder):
    rng = np.random.default_rng(0)
    shapes = {'gray.png': (HEIGHT, WIDTH), 'rgba.png': (HEIGHT, WIDTH, 4), 'one.png': (1, 1, 3)}
    (folder / 'kinds').mkdir()
    for name, shape in shapes.items():
        cv2.imwrite(str(folder / 'kinds' / name), rng.integers(0, 256, shape, np.uint8))
    cv2.imwrite(str(folder / 'kinds/deep.png'), rng.integers(0, 2**16, (HEIGHT, WIDTH, 3), np.uint16))
    results, _ = predict('kinds --score 0')
    assert {result['file_name'] for result in results} >= {'gray.png', 'rgba.png', 'deep.png'}


def test_unreadable_files_are_named_and_skipped(predict, folder, tmp_path):
    (folder / 'bad').mkdir()
    (folder / 'bad/text.jpg').write_text('text')
    (folder / 'bad/empty.png').touch()
    (folder / 'bad/no.mp4').write_text('text')
    draw(folder / 'bad/cut.png')
    (folder / 'bad/cut.png').write_bytes((folder / 'bad/cut.png').read_bytes()[:-60])
    draw(folder / 'bad/good.png')
    draw_video(folder / 'bad/short.avi', 40)
    (folder / 'bad/short.avi').write_bytes((folder / 'bad/short.avi').read_bytes()[:10000])
    results, errors = predict('bad photos/notes.txt --score 0', status=1)
    assert {result['file_name'] for result in results} == {'bad/good.png', 'bad/short.avi'}
    assert any(line.endswith('empty.png cannot be read as a picture: the file is empty') for line in errors)
    for name in ('text.jpg', 'cut.png', 'notes.txt'):
        assert any(f'{name} cannot be read as a picture: ' in line for line in errors)
    assert any('no.mp4 cannot be read as a video' in line for line in errors)
    assert any('short.avi is damaged: it ends after ' in line for line in errors)
    assert '6 of 7 files were skipped or cut short' in errors[-1]


@pytest.mark.parametrize('batch', [1, 4])
def test_pictures_that_the_model_fails_on_are_named_and_skipped(predict, folder, batch):
    draw(folder / 'odd/pixel.png', 1, 1)  # mmseg pools away a dimension.
    draw(folder / 'odd/line.png', 1, 3000)  # Its height is resized to 0.
    for seed, name in enumerate(('a.png', 'b.png')):
        draw(folder / 'odd' / name, seed=seed)
    results, errors = predict(f'odd --batch {batch}', 'segmentor', status=1)
    assert [result['file_name'] for result in results] == ['a.png', 'b.png']
    for name in ('pixel.png', 'line.png'):
        assert any(f'{name}: the model fails on it: ' in line for line in errors)
    assert '2 of 4 files were skipped' in errors[-1]


def test_batch_that_is_too_large_is_predicted_picture_by_picture(predict, monkeypatch):
    from mmdet.apis import DetInferencer

    def fail(inferencer, inputs, *args):
        if len(inputs['inputs']) > 1:
            raise RuntimeError('out of memory')
        return forward(inferencer, inputs, *args)

    forward = DetInferencer.forward
    monkeypatch.setattr(DetInferencer, 'forward', fail)
    results, _ = predict('photos --batch 4 --score 0')
    assert len({result['image_id'] for result in results}) == 4


def test_interruption_keeps_what_is_done(predict, folder, tmp_path, monkeypatch):
    def interrupt(*args):
        frames = read(*args)
        yield from [next(frames) for _ in range(3)]
        raise KeyboardInterrupt

    read = inference_run.read_frames
    monkeypatch.setattr(inference_run, 'read_frames', interrupt)
    results, errors = predict('photos --score 0', status=130)
    assert errors[-1] == 'Interrupted' and len({result['image_id'] for result in results}) == 3
    results, _ = predict('videos --score 0', status=130)
    assert {result['frame'] for result in results} == {0, 1, 2}
    assert count_frames(tmp_path / 'out/vis/clip.mp4') == 3


@pytest.mark.e2e
def test_signal_keeps_what_is_done(folder, tmp_path):
    draw_video(folder / 'long.avi', frames=3000)
    command = [sys.executable, ROOT / 'tools/predict.py', 'detector.py', 'detector.pth', 'photos', 'long.avi']
    process = subprocess.Popen(
        [*command, '--out', tmp_path / 'out'],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # Ignored where the tests run in background.
    )
    deadline = time.time() + 120
    while not list(tmp_path.glob('out/vis/.long.mp4.*')):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and b'Traceback' not in errors and errors.endswith(b'Interrupted\n')
    assert len(files(tmp_path / 'out/vis')) == 5
    assert 0 < count_frames(tmp_path / 'out/vis/long.mp4') < 3000
    assert (tmp_path / 'out/predictions.json').is_file()


USAGE, ERROR = 2, 1
WRONG = [
    ('detector.py detector.pth', USAGE, 'required: INPUT'),
    ('missing.py detector.pth photos', USAGE, 'missing.py: there is no such config'),
    ('detector.py missing.pth photos', USAGE, "'missing.pth': there is no such file"),
    ('detector.py photos/notes.txt photos', ERROR, 'notes.txt cannot be read as a checkpoint'),
    ('detector.py code.pth photos', ERROR, 'which may run code'),
    ('detector.py segmentor.pth photos', ERROR, 'segmentor.pth does not fit the model of detector.py. '),
    ('detector.py detector.pth photos --score 5', USAGE, "'5' is no number from 0 to 1"),
    ('detector.py detector.pth photos --score nan', USAGE, "'nan' is no number from 0 to 1"),
    ('detector.py detector.pth photos --batch 0', USAGE, "'0' is no positive integer"),
    ('detector.py detector.pth photos --device tpu9', USAGE, "'tpu9' cannot be used: "),
    ('detector.py detector.pth photos --device cuda:77', USAGE, "'cuda:77' cannot be used: "),
    ('detector.py detector.pth photos --out photos/notes.txt', USAGE, 'notes.txt is no folder'),
    ('detector.py detector.pth photos --out photos/notes.txt/a', ERROR, 'Not a directory'),
    ('detector.py detector.pth photos --out /proc/a', ERROR, '/proc/a: No such file'),
    ("detector.py detector.pth ''", ERROR, "'': there is no such file or folder"),
    ('detector.py detector.pth nowhere', ERROR, "'nowhere': there is no such file or folder"),
    ("detector.py detector.pth 'photos/*.gif'", ERROR, "'photos/*.gif': there is no such file or folder"),
    (
        "detector.py detector.pth 'photos/*.txt'",
        ERROR,
        'contains no pictures or videos; expected files that end in .bmp',
    ),
    ('detector.py detector.pth nothing', ERROR, "'nothing' contains no pictures or videos"),
    ('detector.py detector.pth photos --cfg-options modle.a=1', ERROR, 'did you mean model?'),
    ('detector.py detector.pth photos --cfg-options test_dataloader=None', ERROR, 'has no LoadImageFromFile'),
    (
        "detector.py detector.pth photos/a.png --score 0 --cfg-options test_dataloader.dataset.metainfo.classes=('a',)",
        ERROR,
        'only 1 have names: a',
    ),
]


class Code:
    def __reduce__(self):
        return os.system, ('touch ran',)


@pytest.mark.parametrize('line, status, message', WRONG)
def test_what_is_wrong_is_one_line(folder, monkeypatch, tmp_path, line, status, message):
    monkeypatch.chdir(folder)
    Path('nothing/at/all').mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict={}, meta=Code()), 'code.pth')
    out = [] if '--out' in line else ['--out', tmp_path / 'out']
    _, errors = run_tool('tools/predict.py', *shlex.split(line), *out, status=status)
    assert message in errors.splitlines()[-1] and 'Traceback' not in errors
    assert Path('photos/notes.txt').read_text() == 'notes' and not Path('ran').exists()


def test_window_needs_a_display(predict, monkeypatch):
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, 'get_backend', lambda: 'agg')
    _, errors = predict('photos --show', status=1)
    assert '--show needs a display' in errors[-1]


@pytest.mark.parametrize('model', ['detector', 'segmentor', 'classifier'])
def test_each_picture_is_shown_until_a_key_is_pressed(predict, monkeypatch, model):
    from matplotlib import pyplot
    from mmengine.visualization import Visualizer

    shown = []
    monkeypatch.setattr(pyplot, 'get_backend', lambda: 'tkagg')
    monkeypatch.setattr(Visualizer, 'show', lambda self, image, win_name, wait_time: shown.append(wait_time))
    predict('photos/a.png photos/b.png videos --show --batch 3', model)
    assert shown[:2] == [0, 0] and all(0 < wait_time < 0.1 for wait_time in shown[2:]) and len(shown) == 9


def test_categories_of_coco_have_its_numbers():
    from mmdet.datasets import CocoDataset

    names = CocoDataset.METAINFO['classes']
    numbers = dict(zip(names, number_categories(list(names))))
    assert len(numbers) == 80 and numbers['person'] == 1 and numbers['toothbrush'] == 90
    assert [numbers[name] for name in ('stop sign', 'backpack', 'dining table', 'toilet', 'tv')] == [13, 27, 67, 70, 72]
    assert number_categories(['a', 'b']) == [1, 2]


def test_names_are_relative_to_what_all_inputs_share(folder, monkeypatch):
    def names(*inputs):
        return [source.name.as_posix() for source in find_sources(inputs)]

    monkeypatch.chdir(folder)
    Path('linked').mkdir()
    Path('linked/to').symlink_to(folder / 'photos/sub')
    assert names('linked') == ['to/a.png', 'to/deeper/c.jpg']
    assert names('photos') == ['a.png', 'b.png', 'sub/a.png', 'sub/deeper/c.jpg']
    assert names('photos/sub/a.png') == ['a.png']
    assert names('photos/sub', 'photos/a.png') == ['sub/a.png', 'sub/deeper/c.jpg', 'a.png']
    assert names('photos/sub/deeper', 'videos') == ['photos/sub/deeper/c.jpg', 'videos/clip.avi']
    assert names('photos/**/a.png', 'photos/a.png') == ['a.png', 'sub/a.png']


def test_block_of_the_page_runs(folder, monkeypatch, tmp_path):
    (block,) = re.findall(r'```python\n(from mmdet\.apis .*?)```', (ROOT / 'docs/prediction.md').read_text(), re.DOTALL)
    for name, target in (
        ('configs/retinanet_contm_coco.py', 'detector.py'),
        ('work_dirs/retinanet_contm_coco/epoch_12.pth', 'detector.pth'),
        ('photos', 'photos'),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(folder / target)
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert files(tmp_path / 'outputs') == ['preds/a.json', 'preds/b.json', 'vis/a.png', 'vis/b.png']
