"""Configs for a user's own data: every layout, and what is wrong in them."""

import json
import os
import shutil

import cv2
import mmpretrain_env  # noqa: F401
import numpy as np
import pytest
import shapes
import torch
from mmengine.config import Config
from tool_runner import run_tool

from mmcontnet import ConTNet
from mmcontnet.base_configs import CONFIGS
from mmcontnet.comparison.configs import find_differences
from mmcontnet.datasets.check_config import check_config
from mmcontnet.evaluation.cost import build, tensors
from mmcontnet.toolboxes import read_config

SIZE = (64, 48)
DETECTORS = ('retinanet', 'fcos', 'faster_rcnn', 'mask_rcnn')


def write_image(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)))


def write_coco(root):
    annotation = dict(bbox=[8, 8, 20, 16], area=320, iscrowd=0, segmentation=[[8, 8, 28, 8, 28, 24, 8, 24]])
    content = dict(
        images=[dict(id=n, file_name=f'{n}.png', width=SIZE[0], height=SIZE[1]) for n in range(6)],
        annotations=[dict(annotation, id=n, image_id=n, category_id=n % 2 + 1) for n in range(6)],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )
    for number in range(6):
        write_image(root / f'images/{number}.png')
    (root / 'all.json').write_text(json.dumps(content))


def write_voc(root):
    for number in range(6):
        write_image(root / f'JPEGImages/{number}.png')
        path = root / f'Annotations/{number}.xml'
        path.parent.mkdir(exist_ok=True)
        box = shapes.OBJECT.format(('cat', 'dog')[number % 2], 9, 9, 28, 24)
        path.write_text(shapes.PAGE.format(number, *SIZE, box).replace('.jpg', '.png'))


def write_yolo(root):
    for number in range(6):
        write_image(root / f'images/{number}.png')
        path = root / f'labels/{number}.txt'
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'{number % 2} 0.5 0.5 0.25 0.5\n')
    (root / 'data.yaml').write_text('train: images\nnc: 2\nnames: [cat, dog]\n')


def write_maps(root):
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[:9], labels[9:12] = 1, 255
    (root / 'labels').mkdir(parents=True)
    for number in range(6):
        write_image(root / f'images/{number}.png')
        cv2.imwrite(str(root / f'labels/{number}_mask.png'), labels)
    (root / 'classes.txt').write_text('road\nsky\n')


def write_folders(root):
    for name in ('cat', 'dog'):
        for number in range(3):
            write_image(root / name / f'{number}.png')


WRITERS = dict(coco=write_coco, voc=write_voc, yolo=write_yolo, maps=write_maps, folders=write_folders)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Writes a data set into DIR, damages it, and runs the command in the folder; returns its output and the config."""
    monkeypatch.chdir(tmp_path)

    def make(layout, model, *options, damage=None, status=0, arch='s'):
        WRITERS[layout](tmp_path / 'data')
        if damage:
            damage(tmp_path / 'data')
        out = [] if '--out' in options else ['--out', 'my.py']
        data = [] if '--data' in options else ['--data', 'data']
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
        arguments = ['--model', model, '--arch', arch, *data, *options, *out]
        stdout, stderr = run_tool('tools/make_config.py', *arguments, status=status)
        if status:
            assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
        cfg = None if status or '--out' in options else read_config('my.py')
        return stdout + stderr, cfg

    return make


def annotations(cfg, split):
    content = json.loads(open(cfg[f'{split}_dataloader'].dataset.ann_file).read())
    return [(one['image_id'], one['category_id'], one['bbox']) for one in content['annotations']]


@pytest.mark.parametrize('layout', ['coco', 'voc', 'yolo'])
@pytest.mark.slow
def test_layouts_of_boxes_give_the_same_training(make, layout):
    output, cfg = make(layout, 'retinanet')
    assert 'training: 5 images with 5 objects; validation: 1 images with 1 objects, split off' in output
    train = annotations(cfg, 'train')
    assert len(train) == 5 and len(annotations(cfg, 'val')) == 1
    expected = [24, 12, 16, 24] if layout == 'yolo' else [8, 8, 20, 16]
    assert all(box == expected for _, _, box in train)
    assert cfg.train_dataloader.dataset.metainfo.classes == ('cat', 'dog')
    assert len(cfg.train_dataloader.dataset.metainfo.palette) == 2
    assert cfg.train_pipeline[2].scale == cfg.test_pipeline[1].scale == SIZE
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == 'my_val.json'
    assert all(finding.harmless for finding in check_config(cfg, 1))


@pytest.mark.parametrize('model', DETECTORS)
@pytest.mark.parametrize('arch', ['ti', 'm'])
@pytest.mark.slow
def test_detectors_differ_from_ours_in_the_data(make, model, arch):
    _, cfg = make('coco', model, '--batch', '4', '--epochs', '6', arch=arch)
    base = Config.fromfile(CONFIGS / f'{model}_contm_coco.py')
    assert cfg.optim_wrapper.optimizer.lr == base.optim_wrapper.optimizer.lr / 4
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size == 4
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == 6
    assert cfg.param_scheduler[1].milestones == [4, 6]
    assert cfg.param_scheduler[0].type == base.param_scheduler[0].type
    assert cfg.model.backbone.arch == arch
    assert cfg.model.neck.in_channels == ([48, 96, 192, 768] if arch == 'ti' else [64, 128, 256, 1024])
    heads = [cfg.model.bbox_head] if 'bbox_head' in cfg.model else [cfg.model.roi_head.bbox_head]
    heads += [cfg.model.roi_head.mask_head] if model == 'mask_rcnn' else []
    assert [head.num_classes for head in heads] == [2] * len(heads)
    assert cfg.custom_hooks == base.custom_hooks


@pytest.mark.slow
def test_segmentor(make):
    output, cfg = make('maps', 'pspnet', '--epochs', '4', arch='ti')
    assert 'training: 5 images; validation: 1 images, split off' in output
    assert cfg.crop_size == (48, 64) and cfg.train_pipeline[3].crop_size == (48, 64)
    assert cfg.model.data_preprocessor.size == (48, 64) and cfg.train_pipeline[2].scale == SIZE
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == 2
    assert cfg.model.decode_head.in_channels == 768 and cfg.model.auxiliary_head.in_channels == 192
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == 4 * 3
    assert cfg.train_dataloader.dataset.seg_map_suffix == '_mask.png'
    assert cfg.optim_wrapper.optimizer.lr == 0.01 * 2 / 8
    assert all(finding.harmless for finding in check_config(cfg, 1))


@pytest.mark.slow
def test_classifier(make):
    output, cfg = make('folders', 'classifier', '--epochs', '20', '--batch', '128', arch='ti')
    assert 'training: 4 images; validation: 2 images, split off' in output
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 2
    assert cfg.model.head.in_channels == 768
    assert cfg.val_evaluator.topk == (1,)
    assert cfg.param_scheduler[0].end == 1 and cfg.param_scheduler[1].T_max == 20
    assert cfg.train_pipeline[1].scale == cfg.test_pipeline[2].crop_size == 64
    assert cfg.test_dataloader.dataset.type == cfg.train_dataloader.dataset.type == 'CustomDataset'
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(5e-4 * 128 / 512)
    assert all(finding.harmless for finding in check_config(cfg, 1))


@pytest.mark.slow
def test_given_validation_data_are_used(make):
    def split(root):
        for split in ('train', 'val'):
            shutil.copytree(root / 'cat', root / split / 'cat')
            shutil.copytree(root / 'dog', root / split / 'dog')
        shutil.rmtree(root / 'cat')
        shutil.rmtree(root / 'dog')

    output, cfg = make('folders', 'classifier', damage=split)
    assert 'training: 6 images; validation: 6 images\n' in output and 'split off' not in output
    assert cfg.val_dataloader.dataset.data_prefix == 'data/val' and 'ann_file' not in cfg.val_dataloader.dataset


def move_into_splits(root):
    """As some exporters write: a folder for each split, with annotations and images."""
    for split in ('train', 'valid'):
        (root / split).mkdir()
    for path in sorted([*root.glob('*/*.png'), *root.glob('*/*.xml')]):
        path.rename(root / ('valid' if path.stem == '5' else 'train') / path.name)


def move_coco(root):
    content = json.loads((root / 'all.json').read_text())
    (root / 'all.json').unlink()
    move_into_splits(root)
    for split, is_val in (('train', False), ('valid', True)):
        part = dict(
            content,
            images=[one for one in content['images'] if (one['id'] == 5) == is_val],
            annotations=[one for one in content['annotations'] if (one['image_id'] == 5) == is_val],
        )
        (root / split / '_annotations.coco.json').write_text(json.dumps(part))


def move_yolo(root):
    for split in ('train', 'valid'):
        for kind in ('images', 'labels'):
            (root / split / kind).mkdir(parents=True)
    for path in sorted([*root.glob('images/*.png'), *root.glob('labels/*.txt')]):
        path.rename(root / ('valid' if path.stem == '5' else 'train') / path.parent.name / path.name)
    text = 'train: ../train/images\nval: ../valid/images\nnc: 2\nnames: [cat, dog]\n'
    (root / 'data.yaml').write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize('layout, move', [('coco', move_coco), ('voc', move_into_splits), ('yolo', move_yolo)])
def test_folders_of_splits(make, layout, move):
    output, cfg = make(layout, 'retinanet', damage=move)
    assert 'training: 5 images with 5 objects; validation: 1 images with 1 objects\n' in output
    assert cfg.val_dataloader.dataset.data_prefix.img.startswith('data/valid')


@pytest.mark.slow
def test_lists_of_voc(make):
    def write_lists(root):
        (root / 'ImageSets/Main').mkdir(parents=True)
        (root / 'ImageSets/Main/train.txt').write_text('0\n1 1\n2 -1\n')
        (root / 'ImageSets/Main/val.txt').write_text('3\n4\n')

    output, _ = make('voc', 'retinanet', damage=write_lists)
    assert 'training: 3 images with 3 objects; validation: 2 images with 2 objects\n' in output


@pytest.mark.slow
def test_splits_of_label_maps(make):
    def move(root):
        for kind, end in (('images', ''), ('labels', '_mask')):
            for split in ('train', 'val'):
                (root / kind / split).mkdir()
            for number in range(6):
                name = f'{number}{end}.png'
                (root / kind / name).rename(root / kind / ('val' if number == 5 else 'train') / name)

    output, cfg = make('maps', 'pspnet', damage=move)
    assert 'training: 5 images; validation: 1 images\n' in output
    assert cfg.val_dataloader.dataset.data_prefix == dict(img_path='data/images/val', seg_map_path='data/labels/val')


@pytest.mark.slow
@pytest.mark.parametrize('name', ['my data', "it's", '数据', 'a#b%c', '-x'])
def test_odd_folders(make, tmp_path, name):
    (tmp_path / 'sub').mkdir()
    write_voc(tmp_path / name)
    output, _ = make('coco', 'retinanet', f'--data={name}', '--data', str(tmp_path / name), '--out', 'sub/its own.py')
    assert "train.py 'sub/its own.py'\n" in output
    cfg = read_config('sub/its own.py')
    assert cfg.train_dataloader.dataset.ann_file == 'sub/its own_train.json'
    assert cfg.train_dataloader.dataset.data_prefix.img == f'{name}/JPEGImages'


def test_folder_that_configs_replace(make, tmp_path):
    write_voc(tmp_path / '{{ x }}')
    output, _ = make('coco', 'retinanet', '--data', '{{ x }}', status=1)
    assert 'cannot stand in a config: rename it' in output


@pytest.mark.slow
def test_annotations_in_another_place(make, tmp_path):
    def move(root):
        (tmp_path / 'else').mkdir()
        (root / 'all.json').rename(tmp_path / 'else/a.json')
        shutil.copy(tmp_path / 'else/a.json', tmp_path / 'else/b.json')
        (root / 'images').rename(tmp_path / 'pictures')

    names = ['--train-ann', 'else/a.json', '--val-ann', 'else/b.json']
    names += ['--train-images', 'pictures', '--val-images', 'pictures']
    output, cfg = make('coco', 'faster_rcnn', *names, damage=move)
    assert cfg.train_dataloader.dataset.ann_file == 'else/a.json'
    assert cfg.val_evaluator.ann_file == 'else/b.json'
    assert cfg.val_dataloader.dataset.data_prefix.img == 'pictures'
    assert 'Image is in both parts' in output
    assert not (tmp_path / 'my_train.json').exists()


@pytest.mark.parametrize(
    'layout, model', [('voc', 'retinanet'), ('coco', 'fcos'), ('maps', 'pspnet'), ('folders', 'classifier')]
)
@pytest.mark.slow
def test_resnet_differs_in_the_model_alone(make, layout, model):
    _, cfg = make(layout, model)
    shutil.rmtree('data')
    output, _ = make(layout, model, '--out', 'resnet.py', arch='r18')
    assert 'ResNet-18, 2 classes' in output
    assert find_differences(cfg, read_config('resnet.py')) == []
    network = build('resnet.py')
    assert network.backbone.depth == 18
    assert all(output.isfinite().all() for output in tensors(network(torch.rand(2, 3, 64, 64))))


@pytest.mark.slow
def test_weights_of_the_published_recipe(make, tmp_path):
    weights = {f'backbone.{key}': value for key, value in ConTNet('ti').state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'ti.pth')
    _, cfg = make('coco', 'retinanet', '--weights', 'ti.pth', arch='ti')
    assert cfg.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='ti.pth', prefix='backbone.')
    assert cfg.model.backbone.frozen_stages == 1 and cfg.model.backbone.norm_eval
    shutil.rmtree(tmp_path / 'data')
    for path in tmp_path.glob('my*'):
        path.unlink()
    output, _ = make('coco', 'retinanet', '--weights', 'ti.pth', arch='m', status=1)
    assert 'ti.pth' in output and 'another architecture' in output


@pytest.mark.slow
def test_same_data_are_split_alike(make, tmp_path):
    make('voc', 'retinanet')
    content = (tmp_path / 'my_val.json').read_bytes()
    shutil.rmtree(tmp_path / 'data')
    for path in tmp_path.glob('my*'):
        path.unlink()
    make('voc', 'retinanet')
    assert (tmp_path / 'my_val.json').read_bytes() == content


def edit(name, old, new):
    """Replaces a text in a file, which holds it."""

    def change(root):
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


def edit_json(change):
    def damage(root):
        content = json.loads((root / 'all.json').read_text())
        change(content)
        (root / 'all.json').write_text(json.dumps(content))

    return damage


def copy_images(root):
    """The same names in a second folder."""
    shutil.copytree(next(root / name for name in ('images', 'JPEGImages') if (root / name).is_dir()), root / 'more')


def make_unlike(root):
    for kind in ('images', 'JPEGImages'):
        if (root / kind).is_dir():
            write_image(root / kind / '3.png', (32, 32))


def truncate(root):
    path = next(root.glob('*/3.png'))
    path.write_bytes(path.read_bytes()[:-100])


# Layout, model, damage, and what is said of it. Nothing is written then.
BROKEN = {
    # Pascal VOC
    'voc: no size and no image': (
        'voc',
        lambda root: [(root / 'JPEGImages/3.png').unlink(), edit('Annotations/3.xml', '<size>', '<no>')],
        ['Image is missing', 'data/Annotations/3.xml: 3 with one of'],
    ),
    'voc: not closed': (
        'voc',
        edit('Annotations/3.xml', '</object>', ''),
        ['data/Annotations/3.xml:9: mismatched tag'],
    ),
    'voc: empty file': ('voc', lambda root: (root / 'Annotations/3.xml').write_text(''), ['3.xml:1: no element found']),
    'voc: other XML': ('voc', edit('Annotations/3.xml', 'annotation>', 'svg>'), ['3.xml:1: <svg>']),
    'voc: box outside': ('voc', edit('Annotations/3.xml', '<xmax>28', '<xmax>80'), ['inside its image', '3.xml:4: ']),
    'voc: box turned': ('voc', edit('Annotations/3.xml', '<xmax>28', '<xmax>4'), ['Box has no width', '3.xml:4: ']),
    'voc: box of words': (
        'voc',
        edit('Annotations/3.xml', '<xmax>28', '<xmax>wide'),
        ['Object has no box of four numbers', "3.xml:4: {'xmin': '9'", 'wide'],
    ),
    'voc: nan': ('voc', edit('Annotations/3.xml', '<xmax>28', '<xmax>nan'), ['Box has no width', '3.xml:4: ']),
    'voc: infinity': ('voc', edit('Annotations/3.xml', '<xmax>28', '<xmax>inf'), ['inside its image', '3.xml:4: ']),
    'voc: no box': ('voc', edit('Annotations/3.xml', 'bndbox', 'box'), ['no box of four numbers', '3.xml:4: ']),
    'voc: no name': ('voc', edit('Annotations/3.xml', 'name>', 'title>'), ['Object has no name', '3.xml:4']),
    'voc: other size': (
        'voc',
        make_unlike,
        ['another size', 'Annotations/3.xml:3: 64 x 48, data/JPEGImages/3.png has 32 x 32'],
    ),
    'voc: names in two folders': (
        'voc',
        copy_images,
        ['Images of the same name are in several folders', '3.xml: data/JPEGImages/3.png, data/more/3.png'],
    ),
    'voc: class not in the list': (
        'voc',
        lambda root: (root / 'classes.txt').write_text('cat\n'),
        ['Class is not in the list', "1.xml:4: 'dog'"],
    ),
    'voc: empty list of classes': (
        'voc',
        lambda root: (root / 'classes.txt').write_text('\n'),
        ['There are no classes', 'data/classes.txt'],
    ),
    'voc: class that configs replace': (
        'voc',
        edit('Annotations/3.xml', 'dog', '{{ fileBasename }}'),
        ['Class name holds {{'],
    ),
    'voc: truncated image': ('voc', truncate, ['Image cannot be decoded', '3.png']),
    'voc: list names a missing file': (
        'voc',
        lambda root: [
            (root / 'ImageSets/Main').mkdir(parents=True),
            (root / 'ImageSets/Main/train.txt').write_text('1\n9\n'),
        ],
        ['Annotation is missing', 'train.txt:2: data/Annotations/9.xml'],
    ),
    'voc: encoding of several bytes': (
        'voc',
        edit('Annotations/3.xml', '<annotation>', '<?xml version="1.0" encoding="gb2312"?><annotation>'),
        ['XML cannot be read', '3.xml: multi-byte encodings'],
    ),
    'voc: unknown encoding': (
        'voc',
        edit('Annotations/3.xml', '<annotation>', '<?xml version="1.0" encoding="klingon"?><annotation>'),
        ['XML cannot be read', '3.xml: unknown encoding: klingon'],
    ),
    # YOLO
    'yolo: class missing in data.yaml': (
        'yolo',
        edit('data.yaml', '[cat, dog]', '[cat]'),
        ['Label is not among the names', 'labels/1.txt:1: 1', 'data.yaml:2: nc is 2'],
    ),
    'yolo: no names': ('yolo', edit('data.yaml', 'names', 'labels'), ['There are no classes', 'data.yaml:1: names']),
    'yolo: empty names': (
        'yolo',
        edit('data.yaml', '[cat, dog]', '[]'),
        ['There are no classes', 'data.yaml:3: names'],
    ),
    'yolo: same name twice': (
        'yolo',
        edit('data.yaml', '[cat, dog]', '[cat, cat]'),
        ['Class is named twice', "data.yaml:3: names: 'cat'"],
    ),
    'yolo: gap in the numbers': (
        'yolo',
        edit('data.yaml', '[cat, dog]', '{0: cat, 2: dog}'),
        ['without a gap', 'data.yaml:3: names: [1]'],
    ),
    'yolo: no YAML': ('yolo', edit('data.yaml', '[cat, dog]', '[cat, dog'), ['YAML cannot be read', 'data.yaml:4: ']),
    'yolo: a list': ('yolo', lambda root: (root / 'data.yaml').write_text('- a'), ['YAML holds no names']),
    'yolo: folder missing': (
        'yolo',
        edit('data.yaml', 'train: images', 'train: pictures'),
        ['Folder of images is missing', 'data.yaml:1: train: data/pictures'],
    ),
    'yolo: no train': ('yolo', edit('data.yaml', 'train: images', 'test: images'), ['There are no images']),
    'yolo: words': (
        'yolo',
        edit('labels/3.txt', '0.25', 'wide'),
        ['Line is no label', 'labels/3.txt:1: 1 0.5 0.5 wide'],
    ),
    'yolo: half a class': ('yolo', edit('labels/3.txt', '1 ', '0.5 '), ['Line is no label', 'labels/3.txt:1']),
    'yolo: three numbers': ('yolo', edit('labels/3.txt', '0.25 ', ''), ['neither a box nor a polygon', '3.txt:1: 3']),
    'yolo: box outside': ('yolo', edit('labels/3.txt', '0.25', '1.5'), ['inside its image', 'labels/3.txt:1: ']),
    'yolo: pixels': ('yolo', edit('labels/3.txt', '0.5 0.5', '32 24'), ['inside its image', 'labels/3.txt:1: ']),
    'yolo: no width': ('yolo', edit('labels/3.txt', '0.25', '0'), ['Box has no width', 'labels/3.txt:1: ']),
    'yolo: no labels': ('yolo', lambda root: shutil.rmtree(root / 'labels'), ['No image has labels', 'labels/0.txt']),
    'yolo: truncated image': ('yolo', truncate, ['Image cannot be decoded', '3.png']),
    'yolo: no image': ('yolo', lambda root: (root / 'images/3.png').write_text(''), ['cannot be decoded', '3.png']),
    # COCO
    'coco: no JSON': ('coco', lambda root: (root / 'all.json').write_text('{'), ['cannot be read', 'data/all.json']),
    'coco: empty': ('coco', lambda root: (root / 'all.json').write_text('{}'), ['cannot be read', 'images is None']),
    'coco: no categories': (
        'coco',
        edit_json(lambda c: c.update(categories=[])),
        ['There are no classes', 'unknown category'],
    ),
    'coco: no images': ('coco', edit_json(lambda c: c.update(images=[], annotations=[])), ['There are no images']),
    'coco: same name twice': (
        'coco',
        edit_json(lambda c: c['categories'][1].update(name='cat')),
        ['Class is named twice'],
    ),
    'coco: box outside': (
        'coco',
        edit_json(lambda c: c['annotations'][3].update(bbox=[50, 8, 30, 16])),
        ['Box is not inside its image', 'data/all.json, 3.png: annotation 3'],
    ),
    'coco: image missing': (
        'coco',
        lambda root: (root / 'images/3.png').unlink(),
        ['Image is missing', 'images/3.png'],
    ),
    'coco: all images missing': ('coco', lambda root: shutil.rmtree(root / 'images'), ['Images are in no folder']),
    'coco: names in two folders': (
        'coco',
        copy_images,
        ['Images are in more than one folder', 'data/images, data/more; say --train-images'],
    ),
    'coco: other size': ('coco', make_unlike, ['another size', '3.png']),
    'coco: no objects': (
        'coco',
        edit_json(lambda c: c.update(annotations=[])),
        ['data/all.json: 0 images to learn from are too few'],
    ),
    # Label maps
    'maps: no list of classes': (
        'maps',
        lambda root: (root / 'classes.txt').unlink(),
        ['data/classes.txt: there is no such file'],
    ),
    'maps: blank line': (
        'maps',
        lambda root: (root / 'classes.txt').write_text('road\n\nsky\n'),
        ['blank line', 'data/classes.txt:2'],
    ),
    'maps: class missing': (
        'maps',
        lambda root: cv2.imwrite(str(root / 'labels/3_mask.png'), np.full(SIZE[::-1], 2, np.uint8)),
        ['Labels are out of range', '3_mask.png: [2]'],
    ),
    'maps: line break in a name': (
        'maps',
        lambda root: [
            (root / 'images/3.png').rename(root / 'images/3\n.png'),
            (root / 'labels/3_mask.png').rename(root / 'labels/3\n_mask.png'),
        ],
        ['cannot stand in a list: rename it'],
    ),
    'maps: only one class': (
        'maps',
        lambda root: (root / 'classes.txt').write_text('road'),
        ['There is only one class', "data/classes.txt: 'road'"],
    ),
    'maps: map missing': (
        'maps',
        lambda root: (root / 'labels/3_mask.png').unlink(),
        ['Label map is missing', '3.png'],
    ),
    'maps: no folder of maps': (
        'maps',
        lambda root: shutil.rmtree(root / 'labels'),
        ['there is no folder of train label maps', '--train-ann'],
    ),
    'maps: other names': (
        'maps',
        lambda root: [path.rename(path.with_name(f'x{path.name}')) for path in (root / 'labels').iterdir()],
        ['Label map is missing', 'begins with 0'],
    ),
    'maps: two suffixes': (
        'maps',
        lambda root: (root / 'images/3.png').rename(root / 'images/3.jpg'),
        ['several suffixes', 'images/3.jpg'],
    ),
    'maps: image missing': (
        'maps',
        lambda root: (root / 'images/3.png').unlink(),
        ['Label map has no image', 'labels/3_mask.png'],
    ),
    'maps: JPEG': (
        'maps',
        lambda root: [
            cv2.imwrite(str(path.with_suffix('.jpg')), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) and path.unlink()
            for path in (root / 'labels').iterdir()
        ],
        ['Label map is a JPEG', 'labels/0_mask.jpg'],
    ),
    'maps: other size': ('maps', make_unlike, ['another size than its image', '3_mask.png']),
    # Folders
    'folders: none': (
        'folders',
        lambda root: [shutil.rmtree(root / 'cat'), shutil.rmtree(root / 'dog')],
        ['data: there is no folder in it'],
    ),
    'folders: empty class': ('folders', lambda root: (root / 'ant').mkdir(), ['Class has no image', 'data/ant']),
    'folders: one image': ('folders', lambda root: write_image(root / 'ant/0.png'), ['data/ant: one image is too few']),
    'folders: class in val only': (
        'folders',
        lambda root: [
            shutil.copytree(root / 'cat', root / 'val/ant'),
            shutil.copytree(root / 'dog', root / 'train/dog'),
        ],
        ['Class is not among those of the training', 'val/ant'],
    ),
    'folders: line break in a name': (
        'folders',
        lambda root: (root / 'cat/1.png').rename(root / 'cat/1\n.png'),
        ['cannot stand in a list: rename it'],
    ),
    'folders: only one': (
        'folders',
        lambda root: shutil.rmtree(root / 'cat'),
        ['There is only one class', "data: 'dog'"],
    ),
    'folders: no image': ('folders', lambda root: (root / 'cat/1.png').write_text('x'), ['decoded', 'cat/1.png']),
}
MODELS = dict(coco='retinanet', voc='retinanet', yolo='retinanet', maps='pspnet', folders='classifier')


@pytest.mark.parametrize('case', BROKEN)
def test_what_cannot_be_right_is_refused(make, case):
    layout, damage, words = BROKEN[case]
    output, _ = make(layout, MODELS[layout], damage=damage, status=1)
    assert [word for word in words if word not in output] == [], output


def mark_difficult(root):
    edit('Annotations/3.xml', '<difficult>0', '<difficult>1')(root)


# What is written all the same, and listed.
DOUBTFUL = {
    'voc: no size': (
        'voc',
        edit('Annotations/3.xml', '<width>64</width><height>48</height>', '<width>0</width>'),
        ['Size is not given', '3.xml'],
    ),
    'voc: pixels from 0': (
        'voc',
        edit('Annotations/3.xml', '<xmin>9', '<xmin>0'),
        ['Pixels are taken as counted from 0'],
    ),
    'voc: pixels from 1': ('voc', lambda root: None, ['Pixels are taken as counted from 1', 'as in VOC']),
    'voc: names that differ in case': (
        'voc',
        edit('Annotations/3.xml', 'dog', 'Dog'),
        ['Class names differ in case', "'Dog' and 'dog'"],
    ),
    'voc: odd characters': ('voc', edit('Annotations/3.xml', 'dog', "d&quot;o'g\\ 犬 50%"), ['犬']),
    'voc: difficult': ('voc', mark_difficult, ['Annotation is of a crowd']),
    'voc: size with a point': ('voc', edit('Annotations/3.xml', '>64<', '>64.0<'), ['Problems: none']),
    'voc: image without XML': (
        'voc',
        lambda root: write_image(root / 'JPEGImages/9.png'),
        ['Image has no XML: it is not used: 1', 'JPEGImages/9.png'],
    ),
    'yolo: names by numbers in quotes': (
        'yolo',
        edit('data.yaml', '[cat, dog]', '{"1": dog, "0": cat}'),
        ['2 classes: cat, dog'],
    ),
    'yolo: labels without image': (
        'yolo',
        lambda root: (root / 'labels/9.txt').write_text('0 0.5 0.5 0.5 0.5'),
        ['Labels have no image', 'labels/9.txt'],
    ),
    'yolo: image without labels': (
        'yolo',
        lambda root: (root / 'labels/3.txt').unlink(),
        ['Image has no annotations'],
    ),
    'yolo: pixel outside': (
        'yolo',
        edit('labels/3.txt', '0.5 0.5 0.25', '0.5 0.5 1.01'),
        ['written', 'Problems: none'],
    ),
    'yolo: names with numbers': ('yolo', edit('data.yaml', '[cat, dog]', '{1: dog, 0: cat}'), ['cat, dog']),
    "yolo: an exporter's path": ('yolo', edit('data.yaml', 'train: images', 'train: ../images'), ['Problems: none']),
    'yolo: names that YAML replaces': (
        'yolo',
        edit('data.yaml', '[cat, dog]', '[yes, no]'),
        ['YAML replaces: quote it', 'data.yaml:3: names: True'],
    ),
    'yolo: folder twice': (
        'yolo',
        edit('data.yaml', 'train: images', 'train: [images, images]'),
        ['Image is listed 2 times', 'data/images/0.png'],
    ),
    'voc: link in a circle': ('voc', lambda root: (root / 'again').symlink_to(root), ['training: 5 images']),
    'coco: class without object': (
        'coco',
        edit_json(lambda c: c['categories'].append(dict(id=7, name='cow'))),
        ['Class has no object in the train part', "'cow'"],
    ),
    'coco: neither crowd nor area': (
        'coco',
        edit_json(lambda c: [(one.pop('iscrowd'), one.pop('area')) for one in c['annotations']]),
        ['Annotations lack area and iscrowd: a copy', 'data/all.json'],
    ),
    'coco: absolute names': (
        'coco',
        edit_json(
            lambda c: [one.update(file_name=os.path.abspath(f'data/images/{one["id"]}.png')) for one in c['images']]
        ),
        ['Problems: none'],
    ),
    'maps: masks of 0 and 255': (
        'maps',
        lambda root: [
            cv2.imwrite(str(path), np.pad(np.zeros((24, 64), np.uint8), ((0, 24), (0, 0)), constant_values=255))
            for path in (root / 'labels').iterdir()
        ],
        ['Class is in no label map', "my_train.txt: 1, 'sky'"],
    ),
    'folders: WebP': (
        'folders',
        lambda root: [path.rename(path.with_suffix('.webp')) for path in root.glob('*/*.png')],
        ['training: 4 images; validation: 2 images'],
    ),
    'folders: other files': (
        'folders',
        lambda root: (root / 'cat/a.heic').write_text('a'),
        ['File is not used', 'cat/a.heic', 'training: 4 images'],
    ),
    'folders: space in a name': (
        'folders',
        lambda root: (root / 'dog').rename(root / "a dog's"),
        ['2 classes', "a dog's"],
    ),
}


@pytest.mark.parametrize('case', DOUBTFUL)
@pytest.mark.slow
def test_what_is_doubtful_is_listed(make, case):
    layout, damage, words = DOUBTFUL[case]
    output, cfg = make(layout, MODELS[layout], damage=damage)
    output = output.replace('Written', 'written')
    assert [word for word in words if word not in output] == [], output
    assert all(finding.harmless for finding in check_config(cfg, 1))


@pytest.mark.slow
def test_boxes_that_stick_out_by_a_pixel_are_cut(make):
    _, cfg = make('yolo', 'retinanet', damage=edit('labels/3.txt', '0.5 0.5 0.25', '0.5 0.5 1.01'))
    boxes = [box for split in ('train', 'val') for _, _, box in annotations(cfg, split)]
    assert [0, 12, 64, 24] in boxes


@pytest.mark.slow
def test_polygons_of_yolo_become_masks(make):
    def outline(root):
        for path in (root / 'labels').iterdir():
            path.write_text(f'{path.read_text()[0]} 0.25 0.25 0.75 0.25 0.75 0.75\n')

    make('yolo', 'mask_rcnn', damage=outline)
    content = json.loads(open('my_train.json').read())
    assert content['annotations'][0]['segmentation'] == [[16, 12, 48, 12, 48, 36]]
    assert content['annotations'][0]['bbox'] == [16, 12, 32, 24] and content['annotations'][0]['area'] == 384


# Options that are refused.
REFUSED = [
    (['--data', 'data/all.json'], 2, "argument --data: 'data/all.json' is a file"),
    (['--data', 'gone'], 2, "argument --data: 'gone' does not exist"),
    (['--out', 'my.txt'], 2, "'my.txt' is no config"),
    (['--out', 'data/all.json'], 2, 'is no config'),
    (['--out', 'gone/my.py'], 2, 'its folder does not exist'),
    (['--out', 'there.py'], 2, 'there.py is there already'),
    (['--out', 'half.py'], 1, 'half_train.json'),
    (['--batch', '0'], 2, "'0' is no positive integer"),
    (['--epochs', 'x'], 2, 'argument --epochs'),
    (['--weights', 'gone.pth'], 2, "'gone.pth': there is no such file"),
    (['--train-ann', 'gone.json'], 2, "'gone.json' does not exist"),
    (['--arch', 'r18', '--weights', 'there.py'], 2, 'argument --weights: they are of ConTNet; leave it out'),
    (['--arch', 'xl'], 2, "invalid choice: 'xl'"),
    (['--model', 'pspnet'], 1, 'classes.txt'),
    (['--val-images', 'data/images'], 1, 'data/images: there are no annotations for them; say --val-ann'),
    (['--model', 'yolo'], 2, "invalid choice: 'yolo'"),
    (['--data', 'empty'], 1, 'empty holds no boxes; expected COCO JSON'),
]


@pytest.mark.parametrize('options, status, message', REFUSED)
def test_wrong_options_are_one_line(make, tmp_path, options, status, message):
    for name in ('there.py', 'half_train.json'):
        (tmp_path / name).write_text('x')
    (tmp_path / 'empty').mkdir()
    output, _ = make('coco', 'retinanet', *options, status=status)
    assert message in output.splitlines()[-1]


def test_a_batch_of_one_is_refused_for_pspnet(make):
    output, _ = make('maps', 'pspnet', '--batch', '1', status=1)
    assert '--batch 1: PSPNet' in output


def test_boxes_give_no_masks(make):
    output, _ = make('voc', 'mask_rcnn', status=1)
    assert 'Mask R-CNN needs masks' in output


@pytest.mark.slow
def test_yolo_boxes_give_no_masks(make):
    output, _ = make('yolo', 'mask_rcnn', status=1)
    assert 'Annotation has no mask' in output


def test_several_layouts_are_refused(make):
    output, _ = make('coco', 'retinanet', damage=lambda root: write_voc(root), status=1)
    assert 'data holds Pascal VOC XML and COCO JSON; say by --train-ann' in output


def test_interruption_leaves_nothing(make, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmcontnet.datasets.check_config.check_config', interrupt)
    make('voc', 'retinanet', status=130)


@pytest.mark.slow
def test_small_images_are_kept(make):
    """mmdet leaves images below 32 pixels out, without a word."""

    def shrink(root):
        for path in (root / 'images').iterdir():
            write_image(path, (24, 20))

    _, cfg = make('yolo', 'retinanet', damage=shrink)
    assert cfg.train_dataloader.dataset.filter_cfg == dict(filter_empty_gt=True, min_size=1)
    assert cfg.train_pipeline[2].scale == (72, 60)  # So that no map is a single pixel.
