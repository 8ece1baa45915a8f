import os
import re
import signal
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import ROOT

import install

NO_CUDA, NO_GPU, NO_NVCC = '', '0', ''


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine without mmcv, where pip only notes what it is asked for."""
    calls = []

    class Pip:
        def __init__(self, *arguments, constraints=None, env=None):
            if env is not None:
                calls.append((arguments, env))

        def show(self, until=None):
            pass

    monkeypatch.setattr(install, 'ask', lambda code: None)
    monkeypatch.setattr(install, 'Pip', Pip)
    monkeypatch.setattr(install, 'fetch_mmcv', lambda sources, name, constraints, *options: Path(name))
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin/nvcc').touch()
    return calls, str(tmp_path)


@pytest.mark.parametrize(
    'torch, with_nvcc, cpu_ops, force_cuda',
    [
        (['2.13.0+cpu', NO_CUDA, NO_GPU], True, False, '0'),
        (['2.13.0', '13.0', '1'], True, False, '1'),
        (['2.13.0', '13.0', NO_GPU], True, False, '1'),
        (['2.13.0', '13.0', '1'], True, True, '0'),
        (['2.13.0', '13.0', NO_GPU], False, False, '0'),
    ],
    ids=['cpu', 'cuda', 'login node', 'cpu wanted', 'no gpu, no nvcc'],
)
def test_operators_are_built_for_the_torch_found(machine, torch, with_nvcc, cpu_ops, force_cuda):
    calls, cuda_home = machine
    install.start_mmcv(Path('constraints.txt'), 'mmcv', [*torch, cuda_home if with_nvcc else NO_NVCC], cpu_ops)
    assert [(env['MMCV_WITH_OPS'], env['FORCE_CUDA']) for _, env in calls] == [('1', force_cuda)]


@pytest.mark.parametrize('usable', [True, False])
def test_finished_mmcv_is_kept_where_it_can_be_used(machine, monkeypatch, usable):
    """Or else removed, and compiled."""
    calls, steps, found = machine[0], [], ['mmcv.whl', 'mmcv-2.1.0']
    operators = ['2.1.0', 'not available'] if usable else None
    monkeypatch.setattr(install, 'ask', lambda code: operators if 'mmcv.whl' in steps else None)
    monkeypatch.setattr(install, 'fetch_mmcv', lambda *arguments: Path(found.pop(0)))
    monkeypatch.setattr(install, 'pip_install', lambda *arguments, constraints: steps.append(arguments[0]))
    monkeypatch.setattr(install, 'pip', lambda *arguments: steps.append(arguments))
    building = install.start_mmcv(Path('constraints.txt'), 'mmcv', ['2.13.0', NO_CUDA, NO_GPU, NO_NVCC], False)
    assert steps == ['wheel', 'mmcv.whl', *([] if usable else [('uninstall', '--yes', 'mmcv')])]
    assert (building is None) == usable and [arguments[-1] for arguments, _ in calls] == (
        [] if usable else ['mmcv-2.1.0']
    )


def test_gpu_without_nvcc_says_what_to_do(machine):
    calls, _ = machine
    with pytest.raises(install.Failure) as failure:
        install.start_mmcv(Path('constraints.txt'), 'mmcv', ['2.13.0', '12.8', '1', NO_NVCC], False)
    assert all(word in str(failure.value) for word in ('nvcc', 'toolkit 12.8', 'CUDA_HOME', '--cpu-ops'))
    assert not calls


def test_old_python_is_refused_before_anything_is_built(monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (3, 9, 18))
    with pytest.raises(install.Failure, match=r'use Python 3\.10'):
        install.check_machine()


def test_old_torch_is_refused(monkeypatch):
    monkeypatch.setattr(install, 'ask', lambda code: ['2.5.1', '', '0', ''])
    with pytest.raises(install.Failure, match=r'torch 2\.5\.1 is too old'):
        install.install_torch(Path('constraints.txt'))


def test_broken_torch_is_not_replaced(monkeypatch):
    monkeypatch.setattr(install, 'ask', lambda code: ['2.5.1'] if code == install.FIND_TORCH else None)
    monkeypatch.setattr(install, 'pip_install', lambda *arguments, **settings: pytest.fail('torch was installed'))
    with pytest.raises(install.Failure, match='cannot be imported'):
        install.install_torch(Path('constraints.txt'))


@pytest.mark.parametrize('torch', ['2.6.0+cu118', '2.10.0'])
@pytest.mark.parametrize('stack, mmcv', [('openmmlab', 'mmcv==2.1.0'), ('onedl', 'onedl-mmcv==2.3.6')])
def test_own_torch_is_kept(tmp_path, torch, stack, mmcv):
    lines = install.write_constraints(str(tmp_path), stack, torch).read_text().splitlines()
    assert f'torch=={torch}' in lines and mmcv in lines


@pytest.mark.parametrize('wanted', [None, *install.stacks.DISTRIBUTIONS])
@pytest.mark.parametrize('found', [None, *install.stacks.DISTRIBUTIONS])
def test_stack_that_is_there_is_kept(monkeypatch, wanted, found):
    monkeypatch.setattr(sys, 'version_info', (3, 12))
    monkeypatch.setattr(install.stacks, 'find_stack', lambda: found)
    monkeypatch.setattr(install.stacks, 'list_installed', lambda stack: [f'{stack}-a', f'{stack}-b'])
    if wanted and found and wanted != found:
        with pytest.raises(install.Failure, match=f'pip uninstall {found}-a {found}-b'):
            install.choose_stack(wanted)
    else:
        assert install.choose_stack(wanted) == (wanted or found or 'openmmlab')


@pytest.mark.parametrize('wanted', [None, *install.stacks.DISTRIBUTIONS])
@pytest.mark.parametrize('found', [None, 'openmmlab'])
def test_new_python_gets_the_stack_that_can_be_built(monkeypatch, wanted, found):
    monkeypatch.setattr(sys, 'version_info', (3, 13))
    monkeypatch.setattr(install.stacks, 'find_stack', lambda: found)
    if wanted == 'onedl' and not found:
        assert install.choose_stack(wanted) == 'onedl'
    elif wanted != 'onedl' and found:  # Whoever has built mmcv there keeps it.
        assert install.choose_stack(wanted) == 'openmmlab'
    else:
        with pytest.raises(install.Failure, match='--stack onedl' if not found else 'pip uninstall'):
            install.choose_stack(wanted)


def test_two_stacks_are_refused(monkeypatch):
    def find_stack():
        raise ImportError('both are installed')

    monkeypatch.setattr(install.stacks, 'find_stack', find_stack)
    with pytest.raises(install.Failure, match='both are installed'):
        install.choose_stack(None)


@pytest.mark.parametrize('stack', install.stacks.DISTRIBUTIONS)
def test_every_step_is_held_to_the_torch_found(monkeypatch, stack):
    """What is installed after torch, mmpretrain and the tests' packages included; no step names the other stack."""
    pinned = []

    def pip_install(*arguments, constraints):
        pinned.append((arguments, 'torch==2.9.1+cpu' in constraints.read_text().splitlines()))

    monkeypatch.setattr(install.stacks, 'find_stack', lambda: stack)
    answers = {
        install.READ_OPS: ['2.1.0', 'not available'],
        install.READ_REQUIREMENTS: [install.stacks.DISTRIBUTIONS[stack]['mmpretrain']],
    }
    monkeypatch.setattr(install, 'pip_install', pip_install)
    monkeypatch.setattr(install, 'ask', lambda code: answers.get(code, ['2.9.1+cpu', '', '0', '']))
    compiled = []
    monkeypatch.setattr(install, 'compile_bytecode', lambda: compiled.append(len(pinned)))
    monkeypatch.setattr(install, 'verify', lambda: None)
    monkeypatch.setattr(sys, 'argv', ['install.py', '--imagenet', '--dev'])
    install.main()
    assert compiled == [len(pinned)]  # Once, of everything.
    (first, _), *others = pinned
    assert first == ('setuptools',)  # Before torch is looked for.
    assert len(others) == 6 and all(held for _, held in others)
    asked_for = {argument for arguments, _ in pinned for argument in arguments}
    for name, distributions in install.stacks.DISTRIBUTIONS.items():
        assert bool(asked_for & set(distributions.values())) == (name == stack)


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """Lets a few lines of Python take pip's place."""

    def pip(code):
        (tmp_path / 'pip.py').write_text(code)
        monkeypatch.setenv('PYTHONPATH', str(tmp_path))

    return pip


def test_output_of_pip(pip, capsys):
    """It is shown up to a line, then to the end; of the counts of compiled files only the last."""
    pip("import time; print('Collecting a\\nbuilding b\\n[1/9]\\n[3/9] c', flush=True); time.sleep(1); print('d')")
    call = install.Pip('wheel')
    call.show(until='building')
    assert capsys.readouterr().out == '    Collecting a\n'
    call.show()
    assert re.fullmatch(r'    compiled 3 of 9 files, about \d+ s left\n', capsys.readouterr().out)


def test_failure_of_pip_shows_its_last_lines(pip):
    pip("import sys; print('line'); print('the reason', end=''); sys.exit(3)")
    with pytest.raises(install.Failure, match=r'pip wheel -c versions a ended with status 3:\nline\nthe reason\n'):
        install.pip('wheel', 'a', constraints='versions')


@pytest.mark.parametrize('fails', [False, True])
def test_mmcv_is_compiled_while_others_are_installed(monkeypatch, pip, tmp_path, fails):
    """And installed after them; where one fails, the compilation is stopped."""
    (tmp_path / 'sources/wheel').mkdir(parents=True)
    (tmp_path / 'sources/wheel/mmcv.whl').touch()
    pip('import time; time.sleep(60)' if fails else '')
    building, calls = install.Building(install.Pip('wheel'), tmp_path / 'sources', lambda: True), []

    def pip_install(*arguments, constraints):
        calls.append(arguments)
        if fails and 'mmdet' in arguments:
            install.fail('no mmdet', 'wait')

    monkeypatch.setattr(install, 'check_machine', lambda: None)
    monkeypatch.setattr(install, 'choose_stack', lambda stack: 'openmmlab')
    monkeypatch.setattr(install, 'install_torch', lambda constraints: ['2.13.0', '', '0', ''])
    monkeypatch.setattr(install, 'start_mmcv', lambda *arguments: building)
    monkeypatch.setattr(install, 'pip_install', pip_install)
    monkeypatch.setattr(install, 'compile_bytecode', lambda: None)
    monkeypatch.setattr(install, 'verify', lambda: calls.append('verified'))
    monkeypatch.setattr(sys, 'argv', ['install.py'])
    if fails:
        with pytest.raises(SystemExit, match=r"Step 'toolboxes' failed: no mmdet"):
            install.main()
        assert building.pip.process.wait(1) == -signal.SIGINT and (tmp_path / 'sources').exists()
    else:
        install.main()
        assert calls[-2:] == [(str(tmp_path / 'sources/wheel/mmcv.whl'),), 'verified']
        assert not (tmp_path / 'sources').exists()


@pytest.mark.parametrize('name', ['mmcv', 'onedl-mmcv'])
def test_sources_stay_until_they_are_compiled(monkeypatch, tmp_path, name):
    sources, downloads = tmp_path / 'sources', []
    folder = f'{name.replace("-", "_")}-2.1.0'

    def pip(*arguments, constraints):
        downloads.append(arguments)
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'setup.py').touch()
        sources.mkdir()
        with tarfile.open(sources / f'{folder}.tar.gz', 'w:gz') as archive:
            archive.add(tmp_path / folder, folder)

    monkeypatch.setattr(install, 'pip', pip)
    for _ in range(2):
        assert install.fetch_mmcv(sources, name, None) == sources / folder
    assert len(downloads) == 1 and (sources / folder / 'setup.py').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('text, compiled', [('#define ANSWER 42', True), ('#error', False)])
def test_header_is_compiled_once(tmp_path, text, compiled):
    """And where that fails, files are compiled as without."""
    header = tmp_path / 'common/pytorch_cpp_helper.hpp'
    header.parent.mkdir()
    header.write_text(f'{text}\n')
    environment = {**os.environ, 'COMPILER': 'c++ -pipe', 'PRECOMPILED': str(tmp_path / 'precompiled')}
    for name in ('a', 'b'):
        source = '#include "pytorch_cpp_helper.hpp"\nint answer() { return ANSWER; }\n' if compiled else 'int zero;\n'
        (tmp_path / f'{name}.cpp').write_text(source)
        options = [
            f'-I{header.parent}',
            '-O2',
            '-MMD',
            '-MF',
            f'{name}.d',
            '-c',
            '-c',
            f'{name}.cpp',
            '-o',
            f'{name}.o',
        ]
        subprocess.run([ROOT / 'precompiled_cxx.py', *options], cwd=tmp_path, env=environment, check=True)
        assert (tmp_path / f'{name}.o').stat().st_size and (tmp_path / f'{name}.d').exists()
    assert len(list(tmp_path.glob('precompiled/*/tried'))) == 1
    assert len(list(tmp_path.glob('precompiled/*/*.gch'))) == compiled


@pytest.mark.e2e
def test_torch_is_read_as_pip_knows_it():
    """A build of PyPI calls itself 2.5.1+cu124, but no such version can be installed."""
    assert install.ask(install.READ_TORCH)[0] == version('torch')
    assert f'torch=={version("torch")}' in install.ask(install.READ_REQUIREMENTS)


@pytest.mark.parametrize('imported', [True, False])
def test_mmpretrain_comes_with_the_torchvision_for_torch(monkeypatch, imported):
    requirements, calls = ['mmpretrain', 'torchvision', 'torch==2.13.0'], []
    answers = {install.READ_REQUIREMENTS: requirements, install.READ_MMPRETRAIN: ['1.2.0'] if imported else None}
    monkeypatch.setattr(install, 'ask', answers.get)
    monkeypatch.setattr(install, 'pip_install', lambda *arguments, constraints: calls.append(arguments))
    if imported:
        install.install_mmpretrain(None)
    else:
        with pytest.raises(install.Failure, match='pip uninstall torchvision'):
            install.install_mmpretrain(None)
    assert calls == [('--upgrade', *requirements)]


@pytest.mark.parametrize(
    'torch, torchvision', [('2.6.0', 'torchvision==0.21.*'), ('2.13.0+cpu', 'torchvision==0.28.*')]
)
def test_torchvision_of_the_tests_stays_apart(monkeypatch, torch, torchvision):
    calls = []
    monkeypatch.setattr(install, 'pip_install', lambda *arguments, constraints: calls.append(arguments))
    install.install_for_tests(None, 'mmpretrain', torch)
    assert [arguments for arguments in calls if torchvision in arguments] == calls[-1:]
    assert calls[-1][:-2] == ('--upgrade', '--no-deps', '--target', str(install.FOR_TESTS))


@pytest.mark.e2e
def test_failing_step_is_named(tmp_path):
    """A package index with nothing in it: the step, the reason and the remedy are printed."""
    subprocess.run([sys.executable, '-m', 'venv', tmp_path / 'venv'], check=True)
    options = dict(PIP_NO_INDEX='1', PIP_FIND_LINKS='', PATH='/usr/bin:/bin', PIP_CONFIG_FILE='/dev/null')
    result = subprocess.run(
        [tmp_path / 'venv/bin/python', ROOT / 'install.py'], env=options, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert all(word in result.stderr for word in ("Step 'torch' failed", 'Cannot install torch', 'What to do'))
