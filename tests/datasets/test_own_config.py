import itertools

import pytest
import torch

from mmcontnet.datasets.config_text import (
    RESNETS,
    Recipe,
    find_typical_size,
    list_channels,
    make_palette,
    quote,
    write_backbone,
    write_metainfo,
    write_path,
)
from mmcontnet.evaluation.cost import build
from mmcontnet.models import ConTNet
from mmcontnet.models.arch import ARCHS


@pytest.mark.parametrize('arch', ARCHS)
def test_channels_are_those_of_the_maps(arch):
    assert tuple(list_channels(arch)) == ConTNet(arch).out_channels


@pytest.mark.parametrize('arch', RESNETS)
def test_channels_of_resnets(arch):
    maps = build(arch)(torch.rand(1, 3, 32, 32))
    assert list_channels(arch) == [x.shape[1] for x in maps]


@pytest.mark.parametrize('count', [1, 2, 80, 300])
def test_metainfo_is_python(count):
    classes = [f"class {number}'s" for number in range(count)]
    lines = write_metainfo(classes)
    assert max(map(len, lines)) <= 120
    found = {}
    exec('\n'.join(lines), found)
    assert found['metainfo']['classes'] == tuple(classes)
    assert found['metainfo']['palette'] == make_palette(count)


def test_neighbors_differ_in_color():
    palette = make_palette(100)
    assert len(set(palette)) > 90
    assert all(0 <= value <= 255 for color in palette for value in color)
    assert all(max(abs(x - y) for x, y in zip(*pair)) > 60 for pair in itertools.pairwise(palette))


def test_paths_are_relative_to_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    here = tmp_path / 'here'
    assert write_path(here / 'a') == write_path(here.relative_to(here) / 'a') == "'a'"
    assert write_path(here) == "'.'"
    assert write_path(type(here)('../b')) == "'../b'"
    assert write_path(tmp_path / 'b') == repr(f'{tmp_path}/b')


@pytest.mark.parametrize('text', ['{{ fileBasename }}', 'a\nb', '\x1b'])
def test_text_that_a_config_would_replace_is_refused(text):
    with pytest.raises(ValueError, match='cannot stand in a config'):
        quote(text)


def test_typical_size():
    sizes = [(100, 200), (400, 100), (300, 300)]
    assert find_typical_size(sizes, 1333, 800) == (300, 100)
    assert find_typical_size(sizes, 250, 50) == (250, 50)
    assert find_typical_size(sizes, 1000, 1000, landscape=False) == (300, 200)


def test_only_the_difference_is_written():
    assert write_backbone(Recipe('retinanet', 'm')) == []
    assert write_backbone(Recipe('retinanet', 's')) == ["    backbone=dict(arch='s'),"]
