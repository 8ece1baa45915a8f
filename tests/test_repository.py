"""What surrounds the package: workflow, issue forms, versions, links."""

import configparser
import re

import pytest
import yaml
from conftest import ROOT

import mmcontnet
from mmcontnet.stacks import DISTRIBUTIONS

WORKFLOW = yaml.safe_load((ROOT / '.github/workflows/tests.yml').read_text())
PAGES = [*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md'), ROOT / 'configs/README.md']


def metadata():
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    return setup


def test_workflow_runs_on_every_python_and_stack():
    job = WORKFLOW['jobs']['tests']
    matrix = job['strategy']['matrix']
    pythons = re.findall(r':: (3\.\d+)$', metadata()['metadata']['classifiers'], re.MULTILINE)
    assert matrix['python'] == pythons == ['3.10', '3.11', '3.12', '3.13']
    assert metadata()['options']['python_requires'] == f'>={pythons[0]}'
    assert matrix['stack'] == list(DISTRIBUTIONS)
    assert matrix['exclude'] == [dict(python='3.13', stack='openmmlab')]  # As install.py refuses it.
    assert {extra['stack']: extra['venv'] for extra in matrix['include']} == dict(
        openmmlab='.venv', onedl='.venv-onedl'
    )
    commands = [step['run'] for step in job['steps'] if 'run' in step]
    assert commands[-2:] == ['make check STACK=${{ matrix.stack }}', 'make test STACK=${{ matrix.stack }}']
    assert all('run' in step or re.fullmatch(r'actions/[\w-]+@v\d+', step['uses']) for step in job['steps'])


def test_workflow_names_only_what_there_is():
    text = (ROOT / '.github/workflows/tests.yml').read_text()
    assert set(re.findall(r'\$\{\{ (.*?) \}\}', text)) == {'matrix.python', 'matrix.stack', 'matrix.venv'}
    # YAML reads the key `on` as True.
    assert set(WORKFLOW) == {'name', True, 'permissions', 'jobs'}


@pytest.mark.parametrize('path', (ROOT / '.github/ISSUE_TEMPLATE').glob('[!c]*.yml'), ids=lambda path: path.stem)
def test_issue_forms_are_whole(path):
    form = yaml.safe_load(path.read_text())
    assert form['name'] and form['description'] and form['body']
    ids = [field['id'] for field in form['body']]
    assert len(set(ids)) == len(ids)
    assert all(field['type'] == 'textarea' and field['attributes']['label'] for field in form['body'])


def test_version_is_the_same_everywhere():
    version = mmcontnet.__version__
    assert metadata()['metadata']['version'] == 'attr: mmcontnet.__version__'
    assert re.findall(r'^## (\S+)', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)[0] == version
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == version
    assert '2104.13497' in citation['preferred-citation']['url']


def test_pre_commit_runs_the_ruff_of_make_check():
    (hooks,) = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    for stack in DISTRIBUTIONS:
        assert f'ruff=={hooks["rev"][1:]}' in (ROOT / f'constraints/{stack}.txt').read_text().splitlines()


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r'\]\((?!https?://)([^)#]+)', page.read_text()):
        assert (page.parent / link).exists(), link


def test_readme_is_short_and_docs_are_indexed():
    readme, index = (ROOT / 'README.md').read_text(), (ROOT / 'docs/README.md').read_text()
    assert len(readme.splitlines()) <= 150
    for page in (ROOT / 'docs').glob('*.md'):
        assert page.name == 'README.md' or f']({page.name})' in index
    assert '](docs/README.md)' in readme
