"""The distributions that go to PyPI: what they hold, and that everything works from them alone."""

import configparser
import re
import shutil
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from constant_models import write_exported
from helpers import run
from PIL import Image

import mmcontnet
from mmcontnet.stacks import find_stack

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PIP = ['-m', 'pip', '--quiet']
LONG = 1200  # Seconds to compile the operators, or to install torch.
NOT_MIM = pytest.mark.skipif(
    find_stack() == 'onedl',
    reason="OneDL's mim looks for a package in the first line of its RECORD, see docs/installation.md",
)


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
    """Built in a copy, which building does not change."""
    source = tmp_path_factory.mktemp('source') / 'mmcontnet'
    ignored = shutil.ignore_patterns('.git', '.venv*', 'work_dirs', 'data', '*.egg-info', 'build', 'dist', '*.so')
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    shutil.copytree(ROOT / 'tests/data', source / 'tests/data')
    run(sys.executable, '-m', 'build', '--sdist', '--no-isolation', source, cwd=source, timeout=LONG)
    return next(source.glob('dist/*.tar.gz'))


@pytest.fixture(scope='module')
def wheel(sdist, tmp_path_factory):
    """Built of the source distribution, beside the torch that is there."""
    folder = tmp_path_factory.mktemp('wheel')
    build = [sys.executable, *PIP, 'wheel', '--no-deps', '--no-build-isolation', '-w', folder, sdist]
    run(*build, cwd=folder, timeout=LONG)
    return next(folder.glob('*.whl'))


@pytest.fixture(scope='module')
def site(wheel, tmp_path_factory):
    """A folder that the wheel is installed in."""
    folder = tmp_path_factory.mktemp('site')
    run(sys.executable, *PIP, 'install', '--no-compile', '--no-deps', '--target', folder, wheel, cwd=folder)
    return folder


def test_twine_takes_both(sdist, wheel):
    output = run(sys.executable, '-m', 'twine', 'check', '--strict', sdist, wheel, cwd=wheel.parent)
    assert output.count('PASSED') == 2


def test_source_distribution_is_whole(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    folders = ('.github', 'configs', 'constraints', 'demo', 'docs', 'mmcontnet', 'tests', 'tools')
    files = {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob('*') if path.is_file()}
    expected = {str(path) for path in files if '__pycache__' not in path.parts and path.suffix != '.so'}
    assert not expected - names
    assert {
        '.pre-commit-config.yaml',
        'LICENSE',
        'Makefile',
        'README.md',
        'install.py',
        'model-index.yml',
        'pyproject.toml',
        'setup.cfg',
    } <= names
    assert not [name for name in names if re.search(r'\.(so|pyc)$|__pycache__', name)]


def test_wheel_carries_the_package_and_what_mim_looks_for(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {str(path.relative_to(ROOT)) for path in (ROOT / 'mmcontnet').rglob('*.py')}
    files = [*(ROOT / 'configs').rglob('*.py'), *(ROOT / 'tools').glob('*.*'), ROOT / 'model-index.yml']
    for_mim = {f'mmcontnet/.mim/{path.relative_to(ROOT)}' for path in files}
    others = {'mmcontnet/py.typed', 'mmcontnet/evaluation/published.json'}
    assert not (package | for_mim | others) - names
    assert any(name.startswith('mmcontnet/ops/_C.') for name in names)
    assert {name.partition('/')[0] for name in names} == {'mmcontnet', f'mmcontnet-{mmcontnet.__version__}.dist-info'}
    # A console script would come first in RECORD, where OneDL's mim looks for the package.
    assert not [name for name in names if name.endswith('entry_points.txt')]


def test_metadata(wheel):
    name = f'mmcontnet-{mmcontnet.__version__}.dist-info/METADATA'
    metadata = message_from_string(zipfile.ZipFile(wheel).read(name).decode())
    assert metadata['Version'] == mmcontnet.__version__
    assert metadata['Requires-Python'] == '>=3.10'
    assert all(', https://' in url for url in metadata.get_all('Project-URL'))
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    assert set(metadata.get_all('Provides-Extra')) == set(setup['options.extras_require'])
    torch = [line for line in metadata.get_all('Requires-Dist') if line.startswith('torch>')]
    assert torch == ['torch>=2.6; extra == "openmmlab"', 'torch>=2.6; extra == "onedl"']
    assert [line for line in metadata.get_all('Requires-Dist') if 'extra' not in line] == ['numpy']


@NOT_MIM
def test_mim_lists_and_copies(site, tmp_path):
    env = dict(PYTHONPATH=str(site), COLUMNS='200')
    output = run('mim', 'search', 'mmcontnet', '--model', 'contnet', '--field', 'coco/box_ap', cwd=tmp_path, **env)
    assert re.search(r'retinanet_contm_pretrained_coco\W+coco/box_ap\W+37\.9', output)
    download = ['mim', 'download', 'mmcontnet', '--config', 'retinanet_contm_coco', '--dest', 'copied']
    run(*download, cwd=tmp_path, **env)
    assert [path.name for path in (tmp_path / 'copied').iterdir()] == ['retinanet_contm_coco.py']
    assert "type='ConTNet'" in (tmp_path / 'copied/retinanet_contm_coco.py').read_text()


@NOT_MIM
@pytest.mark.parametrize('command', ['train', 'test'])
def test_mim_finds_config_and_script(site, tmp_path, command):
    """In an empty folder; they then stop for want of data."""
    env = dict(PYTHONPATH=str(site))
    weights = ['--checkpoint', 'none.pth'] if command == 'test' else []
    output = run('mim', command, 'mmcontnet', 'retinanet_contm_coco.py', *weights, cwd=tmp_path, status=1, **env)
    assert f'{site}/mmcontnet/.mim/configs/retinanet_contm_coco.py' in output
    wanted = 'data/coco/annotations/instances_train2017.json' if command == 'train' else 'none.pth cannot be read'
    assert wanted in output


@NOT_MIM
def test_mim_runs_tools(site, tmp_path):
    command, env = ['mim', 'run', 'mmcontnet'], dict(PYTHONPATH=str(site))
    for name in ('export', 'predict'):
        output = run(*command, name, cwd=tmp_path, status=1, **env)
        assert f'{name}.py: error: the following arguments are required' in output
    run(*command, 'write_model_index', cwd=tmp_path, **env)
    assert (tmp_path / 'model-index.yml').read_text() == (ROOT / 'model-index.yml').read_text()


def test_commands_run_without_mim(site, tmp_path):
    """From the folder that docs/installation.md names; this one then stops for want of data."""
    env = dict(PYTHONPATH=str(site))
    code = "import mmcontnet; print(mmcontnet.__path__[0] + '/.mim/tools')"
    tools = Path(run(sys.executable, '-W', 'ignore', '-c', code, cwd=tmp_path, **env).strip())
    assert tools.is_relative_to(site)
    command = [sys.executable, tools / 'check_data.py', tools.parent / 'configs/retinanet_contm_coco.py']
    assert 'data/coco' in run(*command, cwd=tmp_path, status=1, **env)


def test_tests_pass_with_the_wheel(site, sdist, tmp_path):
    """Those of what a wheel might lack: data, configs, the C++ operators; and the style of the source distribution."""
    shutil.unpack_archive(sdist, tmp_path)
    source = next(tmp_path.iterdir())
    run('ruff', 'check', '.', cwd=source)
    shutil.rmtree(source / 'mmcontnet')
    (source / 'mmcontnet').symlink_to(site / 'mmcontnet')  # Where the tests look for it.
    tests = [
        'test_base_configs.py',
        'test_repository.py',
        'datasets/test_own_config.py',
        'evaluation/test_model_index.py',
        'evaluation/test_published.py',
        'ops/test_extension.py',
    ]
    paths = [f'tests/{name}' for name in tests]
    command = [sys.executable, '-m', 'pytest', '-q', '-n', 0, '-m', 'not slow and not e2e', *paths]
    output = run(*command, cwd=source, timeout=LONG, PYTHONPATH='')
    assert ' passed' in output and 'failed' not in output


def test_readme_examples_run_in_an_empty_environment(wheel, tmp_path):
    """With torch and mmengine, the requirements of the smallest extra."""
    stack = find_stack() or 'openmmlab'
    python = make_environment(tmp_path, '-c', ROOT / f'constraints/{stack}.txt', f'{wheel}[{stack}]')
    plain, own = readme_example('import torch'), readme_example('custom_imports')
    (tmp_path / 'my.py').write_text(own)
    build = "cfg = Config.fromfile('my.py'); cfg.model.backbone.pop('_delete_'); MODELS.build(cfg.model.backbone)"
    imports = 'from mmengine.config import Config; from mmengine.registry import MODELS'
    for code in (f'{plain}\nassert len(maps) == 4', f'{imports}\n{build}'):
        run(python, '-W', 'ignore', '-c', code, cwd=tmp_path, PYTHONPATH='', PYTHONDONTWRITEBYTECODE='')


def test_exported_models_run_with_the_requirements_of_deploy_only(wheel, tmp_path):
    python = make_environment(tmp_path, f'{wheel}[deploy]')
    listed = run(python, '-m', 'pip', 'list', '--format=freeze', cwd=tmp_path, PYTHONPATH='')
    installed = set(re.findall('^(.+)==', listed, re.MULTILINE))
    assert 'onnxruntime' in installed and not {'torch', 'mmengine', 'opencv-python'} & installed
    write_exported(tmp_path / 'exported')
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(tmp_path / 'a.png')
    command = [python, '-m', 'mmcontnet.deploy', 'exported', 'a.png', '--out', 'out']
    assert '1 pictures are in out' in run(*command, cwd=tmp_path, PYTHONPATH='')
    assert (tmp_path / 'out/a.png').is_file()


def make_environment(folder, *install):
    """Installs into a new virtual environment; returns its Python."""
    python = folder / 'venv/bin/python'
    run(sys.executable, '-m', 'venv', folder / 'venv', cwd=folder)
    # What is imported is compiled to bytecode then.
    run(python, *PIP, 'install', '--no-compile', *install, cwd=folder, timeout=LONG, PYTHONPATH='')
    return python


def readme_example(beginning):
    """The Python block of the README that begins so."""
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith(beginning))
