"""Norms by config, with mmcv and without."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from mmcontnet.models import norm

# In a process in which the packages that the backbone does without are not there.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(['mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'pycocotools', 'torchvision']))
import torch
from mmcontnet import ConTNet

torch.manual_seed(0)
for norm_cfg in (dict(type='BN', eps=1e-4), dict(type='SyncBN'), dict(type='GN', num_groups=8, requires_grad=False)):
    model = ConTNet('ti', norm_cfg=norm_cfg).eval()
    print([tuple(x.shape) for x in model(torch.rand(1, 3, 100, 90))][-1], model.stages[0][0].norm)
"""


def test_backbone_without_mmcv():
    done = subprocess.run([sys.executable, '-c', WITHOUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(') ')[0] for line in lines] == ['(1, 768, 4, 3'] * 3
    assert ['eps=0.0001' in lines[0], 'SyncBatchNorm' in lines[1], 'GroupNorm(8' in lines[2]] == [True] * 3


@pytest.mark.parametrize(
    'norm_cfg', [dict(type='BN', momentum=0.3), dict(type='GN', num_groups=4, requires_grad=False)]
)
def test_same_norms_without_mmcv(monkeypatch, norm_cfg):
    with_mmcv = norm.build_norm(norm_cfg, 8)
    monkeypatch.setattr(norm, 'build_norm_layer', None)
    without = norm.build_norm(norm_cfg, 8)
    assert repr(with_mmcv) == repr(without)
    assert [p.requires_grad for p in with_mmcv.parameters()] == [p.requires_grad for p in without.parameters()]


def test_unknown_norm_without_mmcv(monkeypatch):
    monkeypatch.setattr(norm, 'build_norm_layer', None)
    with pytest.raises(ValueError, match="type is 'IN'; expected one of BN, BN2d, SyncBN, GN, or a norm of mmcv"):
        norm.build_norm(dict(type='IN'), 8)


def test_norms_are_of_maps():
    assert isinstance(norm.build_norm(dict(type='BN'), 8), nn.BatchNorm2d)
    assert norm.build_norm(dict(type='BN'), 8)(torch.rand(2, 8, 3, 3)).shape == (2, 8, 3, 3)
