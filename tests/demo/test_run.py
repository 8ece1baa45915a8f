import pytest
import run
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope


@pytest.mark.slow
def test_new_picture_is_predicted(tmp_path, monkeypatch):
    monkeypatch.setattr(run, 'OUT', tmp_path)
    cfg = Config.fromfile(ROOT / run.CONFIG)
    with DefaultScope.overwrite_default_scope('mmdet'):
        weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights, meta=dict(dataset_meta=dict(cfg.metainfo))), tmp_path / 'weights.pth')
    assert run.predict_new_picture(str(tmp_path / 'weights.pth')) == tmp_path / 'predicted/vis/new.jpg'
    assert (tmp_path / 'predicted/vis/new.jpg').is_file()
