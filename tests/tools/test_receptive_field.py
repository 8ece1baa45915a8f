import cv2
import mmpretrain_env  # noqa: F401 (for classifiers)
import numpy as np
import pytest
import torch
from conftest import ROOT
from tool_runner import run_tool

from mmcontnet import ConTNet

TOOL = 'tools/receptive_field.py'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An image of 90x60 pixels, a checkpoint of ConT-Ti and one of something else."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('photo.png', np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    weights = {f'backbone.{name}': value for name, value in ConTNet('ti').state_dict().items()}
    torch.save(dict(state_dict={**weights, 'neck.weight': torch.zeros(1)}), 'ti.pth')
    torch.save({'fc.weight': torch.zeros(1)}, 'other.pth')
    return tmp_path


def read_table(text):
    return [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if ', ' in line]


def test_random_weights_are_those_that_a_training_starts_from(folder):
    """ResNet's residual branches start at zero: at all strides its field is that of the stem."""
    for model in ('r18', 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'):
        rows = read_table(run_tool(TOOL, model, '--size', 64, '--count', 2, '--out', 'fields.png')[0])
        assert len(rows) == 4 and {row[3] for row in rows} <= {'4', '5', '6'}


@pytest.mark.slow
def test_all_stages_of_classifiers(folder):
    name = str(ROOT / 'configs/{}_imagenet.py')
    models = [name.format(model) for model in ('conts', 'r18')]
    rows = read_table(run_tool(TOOL, *models, '--size', 64, '--count', 1, '--out', 'fields.png')[0])
    assert [row[1] for row in rows] == ['4', '8', '16', '32'] * 2


@pytest.mark.slow
def test_fields_and_attention_in_one_picture(folder):
    few = ['--size', 64, '--count', 2, '--out', 'fields.png']
    weights = ['--weights', 'random', 'ti.pth', 'random']
    image = ['--image', 'photo.png', '--pixel', 89, 59, '--layer', '1.0']
    rows = read_table(run_tool(TOOL, 'contti', 'contti', 'r18', *weights, *image, *few)[0])
    assert [row[0] for row in rows[::4]] == ['contti, random weights', 'contti, ti.pth weights', 'r18, random weights']
    assert [row[1] for row in rows] == ['4', '8', '16', '32'] * 3
    assert all(0 < int(row[2]) <= int(row[3]) < 64 * 2**0.5 for row in rows)
    with_attention = cv2.imread('fields.png')
    run_tool(TOOL, 'contti', 'contti', 'r18', *weights, *few)
    assert cv2.imread('fields.png').shape[0] < with_attention.shape[0]


@pytest.mark.slow
def test_seed_decides(folder):
    few = ['contti', '--size', 64, '--count', 1, '--out', 'fields.png', '--seed']
    first, again, other = (run_tool(TOOL, *few, seed)[0] for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    'arguments, status, message',
    [
        ([], 2, 'required: MODEL'),
        (['contx'], 1, "there is no model 'contx'; expected one of contti"),
        (['conts', 'r18', '--weights', 'ti.pth'], 2, '1 for 2 models; expected one for each'),
        (['contti', '--weights', 'other.pth'], 1, 'other.pth does not fit the backbone of contti. missing: '),
        (['contti', '--weights', 'no.pth'], 1, 'no.pth cannot be read as a checkpoint'),
        (['contti', '--image', 'no.png'], 2, "'no.png': there is no such file"),
        (['contti', '--image', 'ti.pth'], 1, 'ti.pth cannot be read as an image'),
        (['contti', '--pixel', '3', '4'], 2, 'argument --pixel: attention needs --image'),
        (['contti', '--layer', '1.0'], 2, 'argument --layer: attention needs --image'),
        (['contti', '--image', 'photo.png', '--pixel', '90', '0'], 1, 'photo.png is 90 pixels wide and 60 high'),
        (['contti', '--image', 'photo.png', '--layer', '3'], 2, "'3' is no STAGE.BLOCK, such as 2.0"),
        (
            ['contti', '--image', 'photo.png', '--layer', '3.1'],
            1,
            '--layer 3.1: contti, random weights has 4 stages of 1, 1, 1, 1',
        ),
        (['contti', '--count', '0'], 2, "'0' is no positive integer"),
    ],
)
def test_what_is_wrong_is_one_line(folder, arguments, status, message):
    _, errors = run_tool(TOOL, *arguments, '--out', 'fields.png', status=status)
    assert message in errors.splitlines()[-1] and 'Traceback' not in errors
    assert not (folder / 'fields.png').exists()


def test_picture_is_refused_at_once(folder):
    assert 'no/a.png cannot be written' in run_tool(TOOL, 'contti', '--out', 'no/a.png', status=2)[1]
