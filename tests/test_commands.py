import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from platform import node

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmcontnet.commands import (
    about,
    add_cfg_options,
    command,
    command_parser,
    config_file,
    existing_file,
    existing_folder,
    existing_path,
    fraction,
    non_negative_int,
    output_file,
    output_folder,
    output_path,
    positive_int,
)
from mmcontnet.fileio import check_writable, whole_file
from mmcontnet.toolboxes import check_options, check_types, read_config


def fail(error):
    raise error


@pytest.fixture
def end(monkeypatch):
    """Runs a command; returns what it ends with."""

    def end(action, *arguments):
        monkeypatch.setattr(sys, 'argv', ['tool', *arguments])
        with pytest.raises(SystemExit) as error:
            command(action)()
        return error.value.code

    return end


HINT = ' (--traceback shows where)'


@pytest.mark.parametrize(
    'action, message',
    [
        (lambda: check_options(Config(dict(model=1)), ['modle.x']), 'there is no modle in None; did you mean model?'),
        (lambda: open('/no/file'), '/no/file: No such file or directory'),
        (lambda: fail(ImportError('install it')), 'install it'),
        (lambda: int('x'), f"ValueError: invalid literal for int() with base 10: 'x'{HINT}"),
        (lambda: {}['a'], f'KeyError: a{HINT}'),
        (lambda: fail(RuntimeError('two\n  lines')), f'RuntimeError: two lines{HINT}'),
        (lambda: fail(ValueError()), f'ValueError: {HINT}'),
        (lambda: fail(ValueError('a\x1b[2J\ud800b')), rf'ValueError: a\x1b[2J\ud800b{HINT}'),
        (
            lambda: fail(KeyError('In worker 0.\nOriginal Traceback (...):\nIndexError: 3')),
            f'KeyError: IndexError: 3{HINT}',
        ),
    ],
)
def test_errors_are_one_line(end, action, message):
    text = end(action)
    assert text == message or text == f'--cfg-options modle.x: {message}'


def test_long_messages_are_cut(end):
    for text in ('word ' * 10_000, 'w' * 10_000):
        assert 1500 < len(end(lambda text=text: fail(RuntimeError(text)))) < 2000


def test_interruption_is_status_130(end, capsys):
    assert end(lambda: fail(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == 'Interrupted\n'


SCRIPTS = [*(ROOT / 'tools').glob('*.py'), ROOT / 'demo/run.py', ROOT / 'demo/shapes.py']


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.stem)
def test_interruption_of_the_imports_is_quiet(script, tmp_path):
    for name in ('numpy', 'torch', 'mmcv', 'mmengine', 'mmcontnet', 'matplotlib', 'rich'):
        (tmp_path / f'{name}.py').write_text('import os, signal\nos.kill(os.getpid(), signal.SIGINT)')
    result = subprocess.run(
        [sys.executable, script],
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # Ignored where tests run in background.
    )
    assert (result.returncode, result.stderr) == (-signal.SIGINT, b'')


def test_interruption_during_a_command_is_handled_again(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    monkeypatch.setattr(sys, 'argv', ['tool'])
    command(lambda: None)()
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.mark.parametrize('status', [0, 2, 'text'])
def test_own_exits_stay(end, status):
    assert end(lambda: sys.exit(status)) == status


def test_traceback_is_shown_on_demand(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tool', '--traceback'])
    with pytest.raises(ZeroDivisionError):
        command(lambda: 1 / 0)()


def test_traceback_is_kept_in_the_log(end, tmp_path):
    MMLogger.get_instance('kept', log_file=str(tmp_path / 'run.log'))
    end(lambda: 1 / 0)
    end(lambda: fail(ValueError('\ud800')))  # No file can hold it.
    assert 'ZeroDivisionError' in (tmp_path / 'run.log').read_text()


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='of Linux')
def test_output_that_cannot_be_written_is_an_error(end, monkeypatch):
    with open('/dev/full', 'w') as full:
        monkeypatch.setattr(sys, 'stdout', full)
        assert 'No space left' in end(lambda: print('a'))
        monkeypatch.undo()
        with pytest.raises(OSError):
            full.close()


def test_about_names_what_an_error_is_of_once():
    for text, expected in (('wrong', 'a.py: wrong'), ('a.py is wrong', 'a.py is wrong')):
        with pytest.raises(ValueError) as error, about('a.py'):
            raise OSError(text)
        assert str(error.value) == expected


REFUSED = [
    (positive_int, ['0', '-1', '1.0', '1e3', 'x', '', 'nan', '+']),
    (non_negative_int, ['-1', '0.5', 'x', '']),
    (fraction, ['nan', '-0.1', '1.1', 'inf', '-inf', 'x', '']),
    (existing_file, ['', '.', 'missing', 'folder']),
    (output_file, ['', '.', 'folder', 'missing/a', 'file.py/a', '/dev/null', '/proc/a', 'a' * 300]),
    (output_folder, ['', 'file.py', 's3://a/b']),
    (output_path, ['', 's3://a/b']),
    (existing_folder, ['', 'file.py', 'missing']),
    (existing_path, ['', 'missing']),
    (config_file, ['', '.', 'missing.py', 'file.txt', 'folder', 'folder.py']),
]
TAKEN = [
    (positive_int, '3', 3),
    (non_negative_int, '0', 0),
    (fraction, '0', 0.0),
    (fraction, '1', 1.0),
    (existing_file, 'file.py', Path('file.py')),
    (output_file, 'new', Path('new')),
    (output_file, 'file.py', Path('file.py')),
    (output_folder, 'folder', Path('folder')),
    (output_folder, 'new', Path('new')),
    (config_file, 'file.py', 'file.py'),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('folder', 'folder.py'):
        Path(name).mkdir()
    for name in ('file.py', 'file.txt'):
        Path(name).write_text('old')
    return tmp_path


@pytest.mark.parametrize('kind, text', [(kind, text) for kind, texts in REFUSED for text in texts])
def test_arguments_are_refused(folder, kind, text, capsys):
    parser = command_parser('A command.')
    parser.add_argument('--value', type=kind)
    before = sorted(os.listdir())
    with pytest.raises(SystemExit) as error:
        parser.parse_args([f'--value={text}'])
    assert error.value.code == 2 and 'error: argument --value: ' in capsys.readouterr().err
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize('kind, text, value', TAKEN)
def test_arguments_are_taken(folder, kind, text, value):
    before = sorted(os.listdir())
    assert kind(text) == value
    assert sorted(os.listdir()) == before and Path('file.py').read_text() == 'old'


@pytest.mark.parametrize('text', ['model', '=3', 'model.x=[1,(2]'])
def test_options_that_cannot_be_parsed_are_usage_errors(text, capsys):
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    with pytest.raises(SystemExit) as error:
        parser.parse_args(['--cfg-options', text])
    assert error.value.code == 2 and f'{text!r} is not KEY=VALUE' in capsys.readouterr().err


@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), KeyboardInterrupt(), ValueError()])
def test_files_are_written_whole_or_not_at_all(folder, error):
    with pytest.raises(type(error)), whole_file('file.py') as file:
        file.write(b'half')
        raise error
    assert Path('file.py').read_text() == 'old' and not list(folder.glob('*.part'))
    with whole_file('file.py') as file:
        file.write(b'new')
    assert Path('file.py').read_text() == 'new' and not list(folder.glob('*.part'))


def test_leftovers_of_killed_processes_are_removed(folder):
    with subprocess.Popen(['true']) as gone:
        pass
    mine, dead, foreign, odd = (
        Path(f'file.py.{name}.part')
        for name in (f'{node()}.{os.getppid()}', f'{node()}.{gone.pid}', f'elsewhere.{gone.pid}', f'{node()}.x')
    )
    for path in (mine, dead, foreign, odd):
        path.touch()
    with whole_file('file.py') as file:
        file.write(b'new')
    assert [path.exists() for path in (mine, dead, foreign, odd)] == [True, False, True, True]


def test_links_stay_links(folder):
    Path('link').symlink_to('file.py')
    check_writable('link')
    with whole_file('link') as file:
        file.write(b'new')
    assert Path('link').is_symlink() and Path('file.py').read_text() == 'new'


CONFIGS = {
    'x = = 3': 'SyntaxError',
    '1/0': 'ZeroDivisionError: division by zero',
    'import sys; sys.exit(0)': 'ends the program with status 0',
    b'x = "\xff"': 'UnicodeDecodeError',
    b'\0\0': 'null bytes',
    "_base_ = 'gone.py'": 'gone.py: No such file',
    "_base_ = 'mmdet::nope/nope.py'": 'nope.py" does not exist',
    "_base_ = 'mmrotate::_base_/nope.py'": 'mmrotate is not installed',
    "custom_imports = dict(imports=['no_such'], allow_failed_imports=False)": "from {'imports': ['no_such']",
    "filename = 'x'": 'filename is reserved',
    'model = None': 'model is None; expected a dict',
    'train_dataloader = 3': 'train_dataloader is 3; expected a dict',
    'custom_hooks = dict()': 'custom_hooks is {}; expected a list',
    'default_hooks = []': 'default_hooks is []; expected a dict',
    "param_scheduler = 'x'": "param_scheduler is 'x'; expected a dict or a list",
    'load_from = 3': 'load_from is 3; expected a string',
    "resume = 'no'": "resume is 'no'; expected True or False",
    'work_dir = 3': 'work_dir is 3; expected a string',
    'env_cfg = None': 'env_cfg is None; expected a dict',
}


@pytest.mark.parametrize('content, message', CONFIGS.items(), ids=map(str, CONFIGS))
def test_configs_that_cannot_be_read_are_named(folder, content, message):
    Path('config.py').write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        read_config('config.py')
    assert 'config.py' in str(error.value) and message in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
    'name, content', [('a.json', '{'), ('a.json', '[1]'), ('a.json', 'null'), ('a.yaml', ''), ('a.yaml', 'a: [1')]
)
def test_other_files_that_are_no_configs_are_named(folder, name, content):
    Path(name).write_text(content)
    with pytest.raises(ValueError, match=name):
        read_config(name)


def test_configs_that_mmengine_takes_pass():
    content = dict(
        model={}, custom_hooks=[], param_scheduler=[{}], default_hooks=None, val_evaluator={}, load_from=None
    )
    check_types(Config({**content, 'load_from': None, 'work_dir': None}))


@pytest.mark.parametrize(
    'option, taken',
    [
        ('model.x', True),
        ('own.x', True),
        ('randomness.seed', True),
        ('work_dir', True),
        ('resume', True),
        ('experiment_name', True),
        ('sync_bn', True),
        ('find_unused_parameters', True),
        ('modle.x', False),
        ('Model', False),
        ('', False),
    ],
)
def test_mistyped_options_are_refused(option, taken):
    """The runner's own arguments are taken whether the config has them or not."""
    cfg = Config(dict(model={}, own={}))
    if taken:
        check_options(cfg, [option])
    else:
        with pytest.raises(ValueError, match='there is no'):
            check_options(cfg, [option])
