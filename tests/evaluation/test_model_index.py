import pytest
import yaml
from conftest import ROOT
from tool_runner import run_tool

from mmcontnet.evaluation.model_index import render_model_index
from mmcontnet.evaluation.published import load_tables
from mmcontnet.evaluation.results import COLUMNS


def test_file_is_current():
    assert (ROOT / 'model-index.yml').read_text() == render_model_index(), 'run python tools/write_model_index.py'


def test_every_config_is_listed_with_its_published_results():
    models = {model['Name']: model for model in yaml.safe_load(render_model_index())['Models']}
    assert set(models) == {path.stem for path in (ROOT / 'configs').glob('*.py')}
    rows = [row for table in load_tables() for row in table.rows if '::' not in row.config]
    for row in rows:
        metrics = {}
        for result in models[row.config]['Results']:
            metrics.update(result['Metrics'])
        assert metrics == {COLUMNS[name]: value for name, value in row.metrics.items()}
    published = {row.config for row in rows}
    assert all(not model['Results'] for name, model in models.items() if name not in published)


@pytest.mark.e2e
def test_command_writes_it(tmp_path):
    run_tool('tools/write_model_index.py', '--out', tmp_path / 'index.yml')
    assert (tmp_path / 'index.yml').read_text() == render_model_index()
