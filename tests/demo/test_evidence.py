"""The configs of docs/evidence.md."""

import re

import mmpretrain_env  # noqa: F401 (for the classifiers)
import pytest
from conftest import ROOT
from mmengine.registry import MODELS, DefaultScope

from mmcontnet.comparison.configs import find_differences, prepare_config

PAGE = (ROOT / 'docs/evidence.md').read_text().replace('${mark}', 'far')
SEARCHED = ('far', 'near')
PAIRS = sorted(path.stem.rpartition('_')[0] for path in (ROOT / 'demo/evidence').glob('*_conts.py'))


@pytest.mark.slow
@pytest.mark.parametrize('pair', PAIRS)
def test_models_are_all_that_differs(pair):
    cfgs = [prepare_config(str(ROOT / f'demo/evidence/{pair}_{model}.py'), {}, None) for model in ('conts', 'r18')]
    # The page allows the learning rates of its search.
    assert find_differences(*cfgs) == (['optim_wrapper.optimizer.lr: 0.0003 and 0.001'] if pair in SEARCHED else [])
    for cfg in cfgs:
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            preprocessor = cfg.get('data_preprocessor')
            MODELS.build({**(dict(data_preprocessor=preprocessor) if preprocessor else {}), **cfg.model})


def test_page_names_what_exists():
    files = set(re.findall(r'demo/\w+(?:/\w+)?\.py|tools/\w+\.py', PAGE))
    assert len(files) >= 10
    for file in files:
        assert (ROOT / file).is_file(), file
    assert {str(path.relative_to(ROOT)) for path in (ROOT / 'demo/evidence').glob('*.py')} <= files
