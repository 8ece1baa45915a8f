import configparser
import re
import runpy
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hub import get_config, hub
from mmengine.utils import package_utils

import mmcontnet
from mmcontnet import stacks

STACKS = list(stacks.DISTRIBUTIONS)


def install(monkeypatch, *names):
    """Lets only these distributions be installed."""

    def version(name):
        if name not in names:
            raise PackageNotFoundError(name)
        return '1.0'

    monkeypatch.setattr(stacks, 'version', version)


@pytest.mark.parametrize('stack', STACKS)
def test_stack_is_told_by_its_distributions(monkeypatch, stack):
    for name in stacks.DISTRIBUTIONS[stack].values():
        install(monkeypatch, name)
        assert stacks.find_stack() == stack and stacks.list_installed(stack) == [name]
        assert stacks.distribution_of('mmseg') == stacks.DISTRIBUTIONS[stack]['mmseg']


def test_default_where_nothing_is_installed(monkeypatch):
    install(monkeypatch)
    assert stacks.find_stack() is None
    assert stacks.distribution_of('mmseg') == 'mmsegmentation'


def test_both_stacks_are_refused_with_a_way_out(monkeypatch):
    install(monkeypatch, 'mmcv', 'mmengine', 'onedl-mmengine')
    with pytest.raises(ImportError, match=r'pip uninstall mmcv mmengine onedl-mmengine; .*--stack openmmlab'):
        stacks.check_requirements()


@pytest.mark.parametrize(
    'missing, words', [(['torch'], 'needs torch: '), (['torch', 'mmengine'], 'torch and mmengine')]
)
def test_missing_requirements_are_named(monkeypatch, missing, words):
    install(monkeypatch)
    monkeypatch.setattr(stacks, 'find_spec', lambda name: None if name in missing else object())
    with pytest.raises(ImportError, match=rf'{words}.*pip install "mmcontnet\[openmmlab\]"'):
        mmcontnet.__getattr__('ConTNet')


@pytest.mark.parametrize('version', ['2.5.1+cu121', '1.13'])
def test_torch_that_runs_code_of_checkpoints_is_refused(monkeypatch, version):
    monkeypatch.setattr('torch.__version__', version)
    with pytest.raises(ImportError, match=r'mmcontnet needs torch 2\.6 or newer'):
        stacks.check_requirements()


@pytest.mark.e2e
def test_package_is_imported_where_nothing_is_installed():
    """As in the environment of an exported model; asked for the backbone, it says what is missing."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import mmcontnet; print('imported'); mmcontnet.ConTNet"
    result = subprocess.run([sys.executable, '-I', '-S', '-c', code], capture_output=True, text=True)
    assert result.stdout == 'imported\n'
    assert result.stderr.splitlines()[-1].startswith('ImportError: mmcontnet needs torch and mmengine')


def test_constraints_name_the_distributions_of_their_stack():
    for stack, names in stacks.DISTRIBUTIONS.items():
        text = (ROOT / f'constraints/{stack}.txt').read_text()
        assert set(names.values()) <= set(re.findall(r'^([\w-]+)', text, re.MULTILINE))


def test_requirements_overwrite_no_stack():
    """pip installs the distributions of a stack only by the extras of that stack."""
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / 'setup.cfg')
    named = {name: stack for stack, names in stacks.DISTRIBUTIONS.items() for name in names.values()}
    extras = metadata['options.extras_require']
    for extra in extras:
        for name in re.findall(r'^([\w-]+)', extras[extra], re.MULTILINE):
            expected = 'onedl' if extra.startswith('onedl') else 'openmmlab'
            assert named.get(name, expected) == expected, (extra, name)
    assert not set(named) & set(re.findall(r'[\w-]+', metadata['options']['install_requires']))


def test_configs_of_the_toolboxes_are_found_without_installing(monkeypatch):
    """Those of mmseg, too, whose distribution has another name, and by the function that would install it."""
    monkeypatch.setattr(package_utils, 'call_command', lambda command: pytest.fail(f'it runs {command}'))
    assert MODULE2PACKAGE['mmseg'] == stacks.distribution_of('mmseg')
    base = 'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py'
    assert get_config(base).default_scope == 'mmseg'
    assert Config.fromfile(ROOT / 'configs/pspnet_contm_cityscapes.py').default_scope == 'mmseg'


def test_missing_toolbox_is_named_and_not_installed(monkeypatch):
    monkeypatch.setattr(package_utils, 'call_command', lambda command: pytest.fail(f'it runs {command}'))
    monkeypatch.setattr(hub, 'get_installed_path', lambda package: pytest.fail('it goes on'))
    with pytest.raises(ModuleNotFoundError, match='mmrotate is not installed: pip install mmrotate'):
        get_config('mmrotate::_base_/default_runtime.py')


def test_file_of_stacks_runs_by_itself():
    """As install.py runs it."""
    assert runpy.run_path(str(ROOT / 'mmcontnet/stacks.py'))['DISTRIBUTIONS'] == stacks.DISTRIBUTIONS
