import json

import numpy as np
import pytest
from constant_models import write_exported
from PIL import Image

from mmcontnet.deploy import Classes, Detections, LabelMap, Predictor
from mmcontnet.deploy.drawing import draw

PICTURE = np.full((120, 160, 3), 200, np.uint8)


def test_boxes_and_masks_are_in_pixels_of_the_picture(tmp_path):
    boxes, scores, labels, masks = Predictor(write_exported(tmp_path, masks=True))(PICTURE)
    assert boxes.tolist() == [[20, 10, 60, 40], [0, 0, 16, 16]]
    np.testing.assert_allclose(scores, [0.9, 0.2])
    assert labels.tolist() == [1, 0]
    assert masks.shape == (2, 120, 160) and masks[0, 10:40, 20:60].mean() > 0.9 and masks[1].sum() <= 18 * 18


def test_model_without_masks_has_none(tmp_path):
    found = Predictor(write_exported(tmp_path))(Image.fromarray(PICTURE))
    assert isinstance(found, Detections) and found.masks is None


def test_label_map_has_the_size_of_the_picture(tmp_path):
    found = Predictor(write_exported(tmp_path, 'segmentation'))(PICTURE)
    assert isinstance(found, LabelMap) and found.label_map.shape == (120, 160) and (found.label_map == 2).all()


def test_classes_come_with_the_most_probable_first(tmp_path):
    found = Predictor(write_exported(tmp_path, 'classification'))(PICTURE)
    assert isinstance(found, Classes) and found.labels.tolist() == [1, 0, 2]
    np.testing.assert_allclose(found.scores, [0.7, 0.2, 0.1])


@pytest.mark.parametrize(
    'task, masks', [('detection', False), ('detection', True), ('segmentation', 0), ('classification', 0)]
)
def test_predictions_are_drawn(tmp_path, task, masks):
    predictor = Predictor(write_exported(tmp_path, task, masks))
    drawn = np.asarray(draw(PICTURE, predictor(PICTURE), predictor.description, 0.3))
    assert drawn.shape == PICTURE.shape and (drawn != PICTURE).any()
    if task == 'detection':
        assert drawn[25, 20].tolist() == [0, 255, 0]  # The outline.
        assert (drawn[25, 40] != 200).any() == masks
        assert (drawn[:16, :16] == 200).all()  # Below the score.


def test_nothing_found_leaves_the_picture_as_it_was(tmp_path):
    predictor = Predictor(write_exported(tmp_path))
    assert np.array_equal(draw(PICTURE, predictor(PICTURE), predictor.description, 0.95), PICTURE)


def edit(**changes):
    def damage(folder):
        description = json.loads((folder / 'model.json').read_text())
        (folder / 'model.json').write_text(json.dumps({**description, **changes}))

    return damage


def edit_pipeline(**changes):
    return edit(pipeline={'resize': None, 'backend': 'cv2', 'crop': None, **changes})


@pytest.mark.parametrize(
    'damage, message',
    [
        (lambda folder: (folder / 'model.json').unlink(), 'holds no exported model: there is no model.json in it'),
        (lambda folder: (folder / 'model.json').write_text('{'), 'model.json is damaged: JSONDecodeError'),
        (lambda folder: (folder / 'model.json').write_text('[]'), 'model.json is damaged: TypeError'),
        (lambda folder: (folder / 'model.json').write_text('{}'), "model.json is damaged: KeyError('version')"),
        (lambda folder: (folder / 'model.json').write_text('[' * 100000), 'model.json is damaged: RecursionError'),
        (edit(version=2), 'model.json is of version 2, this is for 1; export the model again'),
        (edit(version='1'), "model.json is of version '1', this is for 1; export the model again"),
        (edit(more=1), 'model.json is damaged: '),
        (edit(task='poetry'), "model.json is damaged: task is 'poetry'; export the model again"),
        (edit(classes=None), 'model.json is damaged: classes is None'),
        (edit(palette=[]), 'model.json is damaged: palette has too few colors'),
        (edit(palette=['red'] * 3), "model.json is damaged: palette is ['red', 'red', 'red']"),
        (edit(palette=[[300, 0, 0]] * 3), 'model.json is damaged: palette is '),
        (edit(pipeline={}), 'model.json is damaged: pipeline is {}'),
        (edit_pipeline(resize={}), 'model.json is damaged: pipeline.resize is {}; export the model again'),
        (edit_pipeline(resize=dict(scale=[80])), "pipeline.resize is {'scale': [80]}"),
        (edit_pipeline(resize=dict(scale=[80, 0])), "pipeline.resize is {'scale': [80, 0]}"),
        (edit_pipeline(resize=dict(size=[80, 6.5])), "pipeline.resize is {'size': [80, 6.5]}"),
        (edit_pipeline(resize=dict(edge='wide', length=80)), "pipeline.resize is {'edge': 'wide', 'length': 80}"),
        (edit_pipeline(resize=80), 'pipeline.resize is 80'),
        (edit_pipeline(backend='tensorflow'), "model.json is damaged: pipeline.backend is 'tensorflow'; export the"),
        (edit_pipeline(backend=None), 'pipeline.backend is None'),
        (edit_pipeline(crop=[-1, 5]), 'pipeline.crop is [-1, 5]'),
        (edit_pipeline(crop=80), 'pipeline.crop is 80'),
        (edit(dtype='int8'), "model.json is damaged: dtype is 'int8'"),
        (edit(config=None), 'model.json is damaged: config is None'),
        (edit(checkpoint='epoch_1.pth'), "model.json is damaged: checkpoint is 'epoch_1.pth'"),
        (edit(packages=dict(torch=2)), "model.json is damaged: packages is {'torch': 2}"),
        (edit(max_per_image='3'), "model.json is damaged: max_per_image is '3'"),
        (edit(score_threshold=[]), 'model.json is damaged: score_threshold is []'),
        (edit(classes='cat'), "model.json is damaged: classes is 'cat'"),
        (edit(pipeline=['resize', 'backend', 'crop']), "model.json is damaged: pipeline is ['resize', 'backend'"),
        (edit(mask_threshold='x'), "model.json is damaged: mask_threshold is 'x'"),
        (edit(model=None), 'model.json is damaged: model is None'),
        (edit(model='../model.onnx'), "model.json is damaged: model is '../model.onnx'"),
        (edit(task='segmentation'), 'model.onnx returns boxes, scores, labels; a model for segmentation returns label'),
        (edit(model='other.onnx'), 'is damaged: there is no other.onnx in it'),
        (edit(model='model.json'), 'model.json is not for onnxruntime; open it with torch'),
        (lambda folder: (folder / 'model.onnx').unlink(), 'is damaged: there is no model.onnx in it'),
        (lambda folder: (folder / 'model.onnx').write_text('no model'), 'model.onnx cannot be opened by onnxruntime: '),
        (lambda folder: (folder / 'model.onnx').write_bytes(b''), 'model.onnx cannot be opened by onnxruntime: '),
    ],
)
def test_damaged_folders_are_refused(tmp_path, damage, message):
    folder = write_exported(tmp_path / 'exported')
    damage(folder)
    with pytest.raises(ValueError) as error:
        Predictor(folder)
    assert message in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('task', ['detection', 'segmentation', 'classification'])
def test_classes_without_a_name_are_refused(tmp_path, task):
    folder = write_exported(tmp_path, task)
    edit(classes=['a'])(folder)
    with pytest.raises(ValueError, match=r'finds class [12], but model.json names 1; export the model again'):
        Predictor(folder)(PICTURE)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match='missing holds no exported model'):
        Predictor(tmp_path / 'missing')


def test_what_onnxruntime_says_is_one_line(tmp_path):
    predictor = Predictor(
        write_exported(tmp_path, 'segmentation', pipeline=dict(resize=None, backend='cv2', crop=None))
    )
    with pytest.raises(ValueError, match=r'cannot be run on images of uint8 \(1, 4, 4\), size of int64'):
        predictor._run(images=np.zeros((1, 4, 4), np.uint8), size=np.array([4, 4]))
