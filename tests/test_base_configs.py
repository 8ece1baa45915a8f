import subprocess
import sys

import pytest
from conftest import ROOT
from mmengine.config import Config

from mmcontnet.base_configs import CONFIGS, register_base_configs
from mmcontnet.toolboxes import read_config


@pytest.mark.parametrize('name', ['retinanet_contm_coco.py', '_base_/contnet.py'])
def test_inherited_in_any_folder(name, tmp_path):
    (tmp_path / 'my.py').write_text(f"_base_ = ['mmcontnet::{name}']\nwork_dir = 'a'\n")
    cfg = Config.fromfile(tmp_path / 'my.py')
    expected = Config.fromfile(CONFIGS / name)
    assert cfg.pop('work_dir') == 'a'
    assert cfg.to_dict() == expected.to_dict()


def test_unknown_name_is_said(tmp_path):
    (tmp_path / 'my.py').write_text("_base_ = ['mmcontnet::retinanet.py']\n")
    with pytest.raises(
        ValueError, match=r'mmcontnet::retinanet\.py: there is no such config; .*retinanet_contm_coco\.py'
    ):
        read_config(str(tmp_path / 'my.py'))


def test_toolboxes_are_found_as_before(tmp_path):
    register_base_configs()  # Twice does no harm.
    (tmp_path / 'my.py').write_text("_base_ = 'mmdet::_base_/default_runtime.py'\n")
    assert Config.fromfile(tmp_path / 'my.py').default_scope == 'mmdet'


@pytest.mark.e2e
def test_import_is_enough(tmp_path):
    (tmp_path / 'my.py').write_text("_base_ = ['mmcontnet::_base_/contnet.py']\n")
    code = "import mmcontnet; from mmengine.config import Config; print(Config.fromfile('my.py').sync_bn)"
    result = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.strip() == 'torch', result.stderr
    assert ROOT not in (tmp_path, *tmp_path.parents)
