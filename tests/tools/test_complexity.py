import json
import sys

import pytest
from conftest import ROOT
from helpers import run
from mmpretrain_env import ENV

sys.path.insert(0, str(ROOT / 'tools'))
from complexity import build_row

from mmcontnet.evaluation.published import load_tables

pytestmark = pytest.mark.e2e

TOOL = ROOT / 'tools/complexity.py'
ROWS = [(table.title, row) for table in load_tables() for row in table.rows]
# Millions of parameters, GMACs with and without attention's products, of classifiers of 1000 classes.
CLASSIFIERS = {
    'contti_strong_imagenet': (5.889, 1.000, 0.867),
    'conts_imagenet': (10.103, 1.670, 1.493),
    'contm_imagenet': (19.537, 3.440, 3.086),
    'contb_imagenet': (36.043, 7.029, 6.375),
    'r50_imagenet': (25.557, 4.089, 4.089),
}
# GMACs by the toolboxes' own get_flops.py.
DETECTORS = {'retinanet_r50_coco': 239, 'fcos_r50_coco': 200, 'faster_rcnn_r50_coco': 207}


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    """What the command prints, and its numbers by config."""
    path = tmp_path_factory.mktemp('complexity') / 'complexity.json'
    output = run(sys.executable, TOOL, '--json', path, cwd=path.parent, **ENV)
    return output, json.loads(path.read_text())


def test_every_published_row_stands_beside_its_published_numbers(report):
    text, results = report
    expected = [(title, row.model, row.config, row.parameters, row.flops) for title, row in ROWS]
    keys = ('table', 'model', 'config', 'published_parameters_m', 'published_gmacs')
    assert [tuple(result[key] for key in keys) for result in results] == expected
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('| ')]
    printed = [line for line in cells if line[0] not in ('model', '---')]
    assert [line[0] for line in printed] == [row.model for _, row in ROWS]
    assert [line[2] for line in printed] == ['-' if row.parameters is None else str(row.parameters) for _, row in ROWS]
    assert [line[5] for line in printed] == ['-' if row.flops is None else str(row.flops) for _, row in ROWS]


def test_measured_numbers(report):
    results = {result['config']: result for result in report[1]}
    for config, expected in CLASSIFIERS.items():
        keys = ('parameters_m', 'gmacs', 'gmacs_without_attention')
        assert [results[config][key] for key in keys] == pytest.approx(expected, abs=6e-4)
    for config, expected in DETECTORS.items():
        assert results[config]['gmacs'] == pytest.approx(expected, rel=5e-3)
    missing = [config for config, result in results.items() if result['gmacs'] is None]
    assert missing == []


def test_unwritable_file_is_refused_at_once(tmp_path):
    command = [sys.executable, TOOL, '--json', tmp_path / 'missing/complexity.json']
    assert 'missing/complexity.json cannot be written' in run(*command, cwd=tmp_path, status=2)


def test_sizes_of_the_images(report):
    sizes = {(result['table'], result['width'], result['height']) for result in report[1]}
    assert sizes == {
        ('ImageNet, plain recipe', 224, 224),
        ('ImageNet, strong augmentation', 224, 224),
        ('COCO val2017', 1280, 800),
        ('Cityscapes val, instances', 2048, 1024),
        ('Cityscapes val, semantic', 1024, 512),
    }


def test_auxiliary_head_is_left_out(report):
    """Which has 2.4 of 49.0 million parameters."""
    results = {result['config']: result for result in report[1]}
    model = build_row('pspnet_r50_cityscapes')
    assert not hasattr(model, 'auxiliary_head') or model.auxiliary_head is None
    assert results['pspnet_r50_cityscapes']['parameters_m'] == pytest.approx(46.6, abs=0.1)
