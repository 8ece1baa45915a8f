import runpy
import shutil
import sys

import pytest
from conftest import ROOT

from mmcontnet.datasets.check_config import check_config, summarize
from mmcontnet.datasets.findings import Finding


def test_equal_splits_are_checked_once(coco, problems):
    coco.image(1).unlink()
    assert problems(coco.cfg) == {'Image is missing': [str(coco.image(1))] * 2}  # train, val


def test_images_inside_wrappers_are_checked(coco, problems):
    dataset = coco.train_alone()
    coco.cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[dataset])
    coco.image(1).unlink()
    assert problems(coco.cfg) == {'Image is missing': [str(coco.image(1))]}


# Changes of a config, and the problem that has to be found: its kind, and words of its details.
CONFIGS = {
    'head': (
        lambda d: d.cfg.merge_from_dict({'model.roi_head.bbox_head.num_classes': 80}),
        'Head has another number of classes than the data',
        ['model.roi_head.bbox_head.num_classes is 80', '2 classes'],
    ),
    'missing file of the metric': (
        lambda d: d.cfg.merge_from_dict({'val_evaluator.ann_file': 'gone.json'}),
        'File or folder is missing',
        ['gone.json, of CocoMetric'],
    ),
    'other file of the metric': (
        lambda d: d.cfg.merge_from_dict({'val_evaluator.ann_file': shutil.copy(d.file, d.root / 'other.json')}),
        'Metric reads other annotations than the data set',
        ['other.json', 'instances.json'],
    ),
    'no data': (
        lambda d: [d.cfg.pop(f'{split}_dataloader') for split in ('train', 'val', 'test')],
        'Config has no data',
        ['no train_dataloader, val_dataloader or test_dataloader'],
    ),
    'all loaders None': (
        lambda d: d.cfg.merge_from_dict({f'{split}_dataloader': None for split in ('train', 'val', 'test')}),
        'Config has no data',
        [],
    ),
    'a number for a loader': (lambda d: d.cfg.merge_from_dict(dict(train_dataloader=3)), 'Data set', ['train']),
    'no data set': (lambda d: d.cfg.val_dataloader.pop('dataset'), 'Data set cannot be built', ['val']),
    'a number for a data set': (
        lambda d: d.cfg.merge_from_dict({'train_dataloader.dataset.dataset': 3}),
        'Data set cannot be built',
        ['train'],
    ),
    'unknown data set': (
        lambda d: d.cfg.merge_from_dict({'val_dataloader.dataset.type': 'Cocoa'}),
        'Data set cannot be built',
        ['val: Cocoa', 'KeyError'],
    ),
    'data set without type': (
        lambda d: d.cfg.val_dataloader.dataset.pop('type'),
        'Data set cannot be built',
        ['val: None'],
    ),
    'unknown transform': (
        lambda d: d.cfg.val_dataloader.dataset.pipeline.append(dict(type='Rezise', scale=(64, 64))),
        'Transform cannot be built',
        ['val: Rezise', 'KeyError'],
    ),
    'unknown transform of a wrapper': (
        lambda d: d.cfg.train_dataloader.dataset.update(pipeline=[dict(type='Moasic')]),
        'Transform cannot be built',
        ['train: Moasic'],
    ),
    'wrong argument of a transform': (
        lambda d: d.cfg.val_dataloader.dataset.pipeline.append(dict(type='Resize', size=3)),
        'Transform cannot be built',
        ['val: Resize', 'TypeError'],
    ),
    'transform that is a number': (
        lambda d: d.cfg.val_dataloader.dataset.pipeline.append(7),
        'Transform cannot be built',
        ['val: 7'],
    ),
    'pipeline that is a number': (
        lambda d: d.cfg.val_dataloader.dataset.update(pipeline=7),
        'Data set cannot be built',
        ['val'],
    ),
    'unknown wrapper': (
        lambda d: d.cfg.train_dataloader.dataset.update(type='RepeatData'),
        'Type is unknown',
        ['train: wrapper.type', 'RepeatData'],
    ),
    'no parts': (
        lambda d: setattr(d.cfg.train_dataloader, 'dataset', dict(type='ConcatDataset', datasets=[])),
        'Data set cannot be built',
        ['train: ConcatDataset'],
    ),
    'unknown part of a loader': (
        lambda d: d.cfg.train_dataloader.update(batch_sizee=3),
        'Loader has an unknown part',
        ['train_dataloader.batch_sizee'],
    ),
    'no images in a batch': (
        lambda d: d.cfg.train_dataloader.update(batch_size=0),
        'Loader has a number that is out of range',
        ['train_dataloader.batch_size is 0'],
    ),
    'half a worker': (
        lambda d: d.cfg.val_dataloader.update(num_workers=0.5),
        'Loader has a number that is out of range',
        ['val_dataloader.num_workers is 0.5'],
    ),
    'unknown sampler': (
        lambda d: d.cfg.train_dataloader.update(sampler=dict(type='RandomSample')),
        'Type is unknown',
        ['train_dataloader.sampler.type', 'RandomSample'],
    ),
    'unknown metric': (
        lambda d: d.cfg.val_evaluator.update(type='CocoaMetric'),
        'Type is unknown',
        ['val_evaluator.type', 'CocoaMetric'],
    ),
    'metrics that are a number': (
        lambda d: d.cfg.merge_from_dict(dict(val_evaluator=3)),
        'Metrics cannot be read',
        ['val', '3'],
    ),
    'neither file nor folder': (
        lambda d: d.cfg.val_dataloader.dataset.update(data_root='', ann_file='', data_prefix=dict(img='')),
        'Data set has neither a file nor a folder',
        ['val: CocoDataset'],
    ),
    'no folder': (lambda d: shutil.rmtree(d.root / 'images'), 'File or folder is missing', ['images/']),
    'no annotations': (lambda d: d.file.unlink(), 'File or folder is missing', ['instances.json', 'of CocoMetric']),
}


@pytest.mark.parametrize('name', CONFIGS)
def test_error_in_config_is_found(coco, problems, name):
    edit, kind, words = CONFIGS[name]
    edit(coco)
    details = ' '.join(detail for found, details in problems(coco.cfg).items() if kind in found for detail in details)
    assert details and all(word in details for word in words), details


@pytest.mark.parametrize('workers', [0, -1, 65, 10**9])
def test_workers_are_bounded(coco, workers):
    with pytest.raises(ValueError, match=f'{workers} workers: expected 1 to 64'):
        check_config(coco.cfg, workers)


def run_tool(monkeypatch, *arguments):
    """Runs the tool as a command; returns what ends it."""
    monkeypatch.setattr(sys, 'argv', ['check_data.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools/check_data.py'), run_name='__main__')
    return end.value.code


def test_tool_reports(coco, monkeypatch, capsys):
    config = coco.root / 'config.py'
    coco.cfg.dump(config)
    assert run_tool(monkeypatch, config) == 0
    assert 'Problems: none\nRemarks: none' in capsys.readouterr().out
    assert run_tool(monkeypatch, config, '--cfg-options', 'model.roi_head.mask_head.num_classes=1') == 1
    assert '  Head has another number of classes than the data: 2\n    model.roi_head.mask' in capsys.readouterr().out
    assert 'there is no modle in' in run_tool(monkeypatch, config, '--cfg-options', 'modle.x=3')
    assert '65 workers: expected 1 to 64' in run_tool(monkeypatch, config, '--workers', '65')
    assert run_tool(monkeypatch, config, '--workers', '0') == 2
    coco.annotation['iscrowd'] = 1
    coco.save()
    assert run_tool(monkeypatch, config) == 0  # Remarks alone.
    assert 'Problems: none\nRemarks:\n  Annotation is of a crowd: 2' in capsys.readouterr().out


def test_tool_says_what_it_cannot_check(coco, monkeypatch):
    assert run_tool(monkeypatch, 'gone.py') == 2
    config = coco.root / 'config.py'
    coco.cfg.train_dataloader.dataset = dict(
        type='VOCDataset', data_root=str(coco.root), data_prefix=dict(img='images')
    )
    coco.cfg.dump(config)
    assert 'VOCDataset: of mmdet' in run_tool(monkeypatch, config)
    coco.cfg.default_scope = 'mmtrack'
    coco.cfg.dump(config)
    assert "default_scope is 'mmtrack'" in run_tool(monkeypatch, config)


def test_summary_shows_five_of_each_kind():
    text = summarize([Finding('Odd', f'{number}.jpg') for number in range(9)])
    assert '  Odd: 9\n' in text and text.count('.jpg') == 5 and '    ...' in text


def test_summary_prints_any_name_on_one_line():
    text = summarize([Finding('Odd', 'a\n\x1b[2J\ud800ü' + 'x' * 10**6)])
    assert r'    a\n\x1b[2J\ud800üxxx' in text and len(text) < 2000
    text.encode()
