import json

import cv2
import numpy as np
import pytest

from mmcontnet.comparison.cost import Cost
from mmcontnet.comparison.report import (
    Model,
    choose_metric,
    conclude,
    find_differing,
    reach,
    write_nothing_left,
    write_report,
)
from mmcontnet.comparison.runs import Run

AP = 'coco/bbox_mAP'


@pytest.fixture
def make(tmp_path):
    """Makes a model of APs of its seeds, of images, and of epochs."""

    def make(name, seeds, images=(0.5, 0.5, 0.5), epochs=(0.1, 0.2), seconds=1.0, metric=AP):
        runs, results = [], []
        for seed, value in enumerate(seeds):
            runs.append(Run(name, tmp_path / 'config.py', len(epochs), seed, tmp_path / name / f'seed_{seed}'))
            log = runs[-1].folder / '20260101/vis_data'
            log.mkdir(parents=True)
            rows = [{metric: value, 'step': step} for step, value in enumerate(epochs, 1)]
            text = ''.join(f'{json.dumps(row)}\n' for row in [dict(loss=2.0, step=50), dict(loss=1.0, step=100), *rows])
            (log / 'scalars.json').write_text(f'{text}{{"loss": 1')
            results.append(dict(metrics={} if value is None else {metric: value, f'{metric}_s': -1.0}, images=3))
        results[0]['by_image'] = [{metric: value} for value in images]
        rng = np.random.default_rng(0)
        results[0]['resampled'] = [{metric: np.mean(rng.choice(np.array(images, float), 3))} for _ in range(50)]
        return Model(
            name, runs, results, Cost(10_000_000, 2_000_000_000, 8, (128, 160), [seconds] * 3, 1 << 20, 'a CPU')
        )

    return make


def test_lead_with_interval(make):
    text = conclude(make('a', [0.30, 0.31, 0.32]), make('b', [0.33, 0.35, 0.37]), AP)
    assert text.startswith(
        'b is ahead of a by 4.0 box AP, 95% interval 1.5 to 6.5 (3 seeds, 3 images); for seed 0 it is '
    )


def test_interval_with_zero_tells_nothing(make):
    text = conclude(make('a', [0.30, 0.40]), make('b', [0.31, 0.33]), AP)
    assert text.startswith('These trainings do not tell which is better: a is ahead of b by 3.0 box AP, but the 95% ')
    assert ' includes 0 (2 seeds, 3 images)' in text


def test_one_seed_has_an_interval_over_images_alone(make):
    text = conclude(make('a', [0.9], images=(0.9, 0.9, 0.9)), make('b', [0.4], images=(0.4, 0.4, 0.4)), AP)
    assert text == (
        'a is ahead of b by 50.0 box AP (1 seed, 3 images), but one seed does not tell whether it would be with '
        'another; for seed 0 it is +50.0 (+50.0 to +50.0) over images.'
    )


def test_equal_differences_tell_nothing(make):
    text = conclude(make('a', [0.40, 0.41]), make('b', [0.30, 0.31]), AP)
    assert text.startswith(
        'a is ahead of b by 10.0 box AP with each seed (2 seeds, 3 images): equal differences give no interval, more '
        'seeds may; for seed 0 it is '
    )


@pytest.mark.parametrize('metric, percent', [(AP, 30), ('pascal_voc/AP50', 30), ('mIoU', 0.3), ('accuracy/top1', 0.3)])
def test_metrics_in_percent(make, metric, percent):
    model = make('a', [0.3], images=(0.3,), epochs=(0.3,), metric=metric)
    assert model.values(metric) == model.values_by('by_image', metric).tolist() == [percent]
    assert model.curve(metric)[1].tolist() == [[percent]]


def test_training_without_detections_counts_as_zero(make):
    model = make('a', [None, 0.2])
    assert model.values(AP) == [0, 20] and choose_metric([model]) == AP
    with pytest.raises(ValueError, match='no test measured anything'):
        choose_metric([make('b', [None])])
    assert choose_metric([make('c', [1.0], metric='pascal_voc/mAP')]) == 'pascal_voc/mAP'


def test_time_to_the_final_metric_of_the_other(make):
    slow, fast = (
        make('slow', [0.4], epochs=(0.1, 0.3, 0.35, 0.4), seconds=3.0),
        make('fast', [0.3], epochs=(0.1, 0.2, 0.25, 0.3)),
    )
    assert (
        reach(slow, fast, AP)
        == 'slow reaches the final 30.0 of fast after 50% of the epochs and 150% of the time of that training.'
    )
    assert reach(fast, slow, AP) == 'fast does not reach the final 40.0 of slow.'
    # Steps of twice the images: half as many in an epoch.
    large = slow._replace(cost=slow.cost._replace(images=16))
    assert reach(large, fast, AP).endswith('after 50% of the epochs and 75% of the time of that training.')
    for model in (large, fast):
        model.runs[0] = model.runs[0]._replace(epochs=None)
    assert reach(large, fast, AP).endswith('after 50% of the steps and 150% of the time of that training.')
    fast.runs[0] = fast.runs[0]._replace(epochs=4)
    assert reach(large, fast, AP) == ''  # Epochs and iterations cannot be compared.


def test_images_that_differ(make):
    first, other = make('a', [0.5], images=(0.1, 0.5, None, 0.9)), make('b', [0.5], images=(0.2, 0.5, 0.3, 0.1))
    assert find_differing(first, other, AP) == [3, 0]


def test_other_images_are_not_paired(make):
    first, other, fewer = make('a', [0.5]), make('b', [0.4]), make('c', [0.4])
    for model, folder in ((first, 'near'), (other, 'far')):
        model.results[0]['paths'] = [f'{folder}/{number}.jpg' for number in range(3)]
    fewer.results[0].update(paths=first.results[0]['paths'], images=2)
    for model in (other, fewer):
        assert find_differing(first, model, AP) == []
        assert conclude(first, model, AP).endswith(
            'with another; nothing is compared image by image, since they were tested on different images.'
        )


def test_report(make, tmp_path):
    models = [make('a', [0.30, 0.31]), make('b', [0.33, 0.36], seconds=2.0), make('c', [0.1, 0.1])]
    cv2.imwrite(str(tmp_path / 'drawn.png'), np.zeros((20, 60, 3), np.uint8))
    pictures = [[tmp_path / 'drawn.png'] * 2] * 2
    conclusion = write_report(models, [], pictures, [2, 0], ['The configs differ.'], tmp_path)
    text = (tmp_path / 'report.md').read_text()
    assert text.startswith(f'# a and b and c\n\n{conclusion.splitlines()[0]}\n') and 'The configs differ.' in text
    assert '| b | 33.0 | 36.0 | 34.5 |' in text
    assert f'| {AP} | 30.5 | 34.5 | 10.0 | -4.0 (-16.7 to +8.7) | +20.5 (+14.1 to +26.9) |' in text
    assert f'{AP}_s' not in text  # Of no object of that size.
    assert '| b | 10.00 | 2.00 | 2000 (2.00) | 1 (1.00) |' in text
    for name in ('curves.png', 'pictures.png'):
        assert f']({name})' in text and cv2.imread(str(tmp_path / name)) is not None


def test_report_without_the_seeds_that_diverged(make, tmp_path):
    models = [make('a', [0.30, 0.31]), make('b', [0.33, 0.36])]
    for model in models:  # Seed 0, which alone has results by image, is left out.
        del model.runs[0], model.results[0]
    assert find_differing(*models, AP) == []
    lines = ['a diverged with seed 0: the reason.']
    conclusion = write_report(models, lines, [], [], [], tmp_path)
    assert conclusion == (
        'a diverged with seed 0: the reason.\nb is ahead of a by 5.0 box AP (1 seed, 3 images), but one seed does not '
        'tell whether it would be with another.'
    )
    text = (tmp_path / 'report.md').read_text()
    assert text.startswith('# a and b\n\na diverged with seed 0: the reason.\n\nb is ahead') and '| seed 1 |' in text


def test_report_where_nothing_is_left(tmp_path):
    conclusion = write_nothing_left(['a', 'b'], ['a is left out.'], ['The configs differ.'], tmp_path)
    assert conclusion.startswith('a is left out.\nThere is nothing to compare: ')
    assert (tmp_path / 'report.md').read_text().split('\n\n')[3] == 'The configs differ.\n'
