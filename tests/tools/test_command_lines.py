"""What users type wrong, on a data set of a few drawn shapes: one line that names it, and nothing broken behind it."""

import errno
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from test_end_to_end import CONFIG
from tool_runner import run_tool

from mmcontnet import fileio, toolboxes
from mmcontnet.weights.reading import read_checkpoint

pytestmark = pytest.mark.e2e

FILES = {
    'tiny.py': CONFIG,
    'syntax.py': 'x = = 3',
    'empty.py': '',
    'track.py': "default_scope = 'mmtrack'",
    'model.py': "_base_ = 'tiny.py'\nmodel = None",
    'loader.py': "_base_ = 'tiny.py'\ntrain_dataloader = dict(_delete_=True)",
    'hook.py': "_base_ = 'tiny.py'\ncustom_hooks = [dict(type='NoSuchHook')]",
    'module.py': "_base_ = 'tiny.py'\ncustom_imports = dict(imports=['no_such'], allow_failed_imports=False)",
    'tuned.py': "_base_ = 'tiny.py'\nweights = dict(type='Pretrained', checkpoint='checkpoints/contm.pth')\n"
    'model = dict(backbone=dict(init_cfg=weights))',
    'bad.json': '{',
    'notes.txt': 'notes',
    'text.ckpt': 'no checkpoint',
}
USAGE, ERROR = 2, 1
TRAIN = [
    ('', USAGE, 'required: config'),
    ("''", USAGE, "'' is no config"),
    ('missing.py', USAGE, 'missing.py: there is no such config'),
    ('notes.txt', USAGE, "'notes.txt' is no config"),
    ('folder.py', USAGE, "'folder.py' is no config"),
    ('bad.json', ERROR, 'bad.json: JSONDecodeError'),
    ('empty.py', ERROR, 'empty.py: default_scope is None'),
    ('track.py', ERROR, "track.py: default_scope is 'mmtrack'; expected one of"),
    ('syntax.py', ERROR, 'syntax.py: SyntaxError'),
    ('model.py', ERROR, 'model.py: model is None; expected a dict'),
    ('loader.py', ERROR, 'loader.py: '),
    ('hook.py', ERROR, 'hook.py: KeyError: NoSuchHook is not in'),
    ('module.py', ERROR, 'no_such'),
    ('tuned.py', ERROR, 'convert_checkpoint.py OFFICIAL.pth checkpoints/contm.pth; or train on ImageNet'),
    ('--work-dir missing.py syntax.py', ERROR, 'syntax.py: SyntaxError'),
    ('tiny.py --work-dir s3://a/b', USAGE, "argument --work-dir: 's3://a/b' is no path of this machine"),
    ('tiny.py --work-dir notes.txt', USAGE, 'argument --work-dir: notes.txt is no folder'),
    ('tiny.py --work-dir /proc/x', ERROR, '/proc/x: No such file'),
    ('tiny.py --bogus', USAGE, 'unrecognized arguments: --bogus'),
    ('tiny.py --launcher pytorch', USAGE, 'RANK is not set; start the processes with tools/dist_*.sh'),
    ('tiny.py --launcher slurm', USAGE, 'SLURM_PROCID is not set'),
    ('tiny.py --launcher mpi', USAGE, 'OMPI_COMM_WORLD_RANK is not set'),
    ('tiny.py --launcher other', USAGE, "invalid choice: 'other'"),
    ('tiny.py --resume text.ckpt', ERROR, 'text.ckpt cannot be read as a checkpoint'),
    ('tiny.py --resume weights.pth', ERROR, 'weights.pth holds weights, but no training to resume'),
    ('tiny.py --cfg-options load_from=list.ckpt', ERROR, 'list.ckpt holds list; expected a dict'),
    ('tiny.py --cfg-options model', USAGE, "'model' is not KEY=VALUE"),
    ('tiny.py --cfg-options modle.x=3', ERROR, 'there is no modle in tiny.py; did you mean model?'),
    ('tiny.py --cfg-options train_dataloader=3', ERROR, 'train_dataloader is 3; expected a dict'),
    ('tiny.py --cfg-options default_hooks=None', ERROR, 'set single hooks to None'),
    ('tiny.py --cfg-options model.backbone.arch=x', ERROR, "arch is 'x'"),
    ('tiny.py --cfg-options model.bakbone.arch=s', ERROR, 'bakbone'),
    ('tiny.py --cfg-options optim_wrapper.optimizer.type=Adamm', ERROR, "type is 'Adamm'; did you mean Adam?"),
    ('tiny.py --cfg-options optim_wrapper.optimizer.lr=abc', ERROR, "in {'type': 'AdamW', 'lr': 'abc', "),
    ('tiny.py --cfg-options log_level=X', ERROR, "log_level is 'X'; expected 'DEBUG'"),
    ('tiny.py --cfg-options train_dataloader.dataset.ann_file=no.json', ERROR, 'no.json: No such file'),
    ('tiny.py --cfg-options train_dataloader.dataset.data_prefix.img=no/', ERROR, 'No such file'),
    ('tiny.py --cfg-options optim_wrapper.optimizer.lr=1e30', ERROR, 'the loss is not finite'),
]
TEST = [
    ('', USAGE, 'required: config, checkpoint'),
    ('tiny.py', USAGE, 'required: checkpoint'),
    ('weights.pth tiny.py', USAGE, "'weights.pth' is no config"),
    ('syntax.py weights.pth', ERROR, 'syntax.py: SyntaxError'),
    ('tiny.py text.ckpt', ERROR, 'text.ckpt cannot be read as a checkpoint'),
    ("tiny.py ''", ERROR, "'' cannot be read as a checkpoint"),
    ('tiny.py half.pth', ERROR, 'half.pth cannot be read as a checkpoint'),
    ('tiny.py list.ckpt', ERROR, 'list.ckpt holds list'),
    ('tiny.py folder.py', ERROR, 'folder.py cannot be read as a checkpoint'),
    ('tiny.py weights.pth --table', USAGE, 'expected one argument'),
    ('tiny.py weights.pth --table folder.py', USAGE, 'folder.py cannot be written: it is a folder'),
    ('tiny.py weights.pth --table no/a', USAGE, 'no/a cannot be written: its folder does not exist'),
    ('tiny.py weights.pth --out no/a.pkl', ERROR, '--out no/a.pkl: '),
    ('tiny.py weights.pth --out a.txt', ERROR, 'must be a pkl file'),
    ('tiny.py weights.pth --cfg-options test_dataloader=None', ERROR, 'test_dataloader'),
    ('tiny.py weights.pth --cfg-options model.backbone.arch.depths=(2,1,1,1)', ERROR, 'does not fit the model'),
]
OVERFIT = [
    ('tiny.py --images 0', USAGE, "--images: '0' is no positive integer"),
    ('tiny.py --epochs -1', USAGE, 'argument --epochs'),
    ('tiny.py --size 1.5', USAGE, 'argument --size'),
    ('tiny.py --ap50 nan', USAGE, "'nan' is no number from 0 to 1"),
    ('tiny.py --cfg-options modle.x=3', ERROR, 'did you mean model?'),
    ('tiny.py --cfg-options train_dataloader=3', ERROR, 'train_dataloader is 3; expected a dict'),
    ('empty.py', ERROR, 'empty.py: overfitting needs a detector of mmdet'),
    ('syntax.py', ERROR, 'syntax.py: SyntaxError'),
    *[
        (f'{ROOT}/configs/{name}.py', ERROR, f'{name}.py: overfitting needs a detector of mmdet')
        for name in ('pspnet_contm_cityscapes', 'mask_rcnn_contm_cityscapes', '_base_/contnet')
    ],
]
CONVERT = [
    ('nowhere://a.pth new.pth', ERROR, 'nowhere://a.pth cannot be read'),
    ('text.ckpt new.pth', ERROR, 'text.ckpt cannot be read as a checkpoint'),
    ('weights.pth new.pth', ERROR, 'weights.pth: '),
    ('official.pth s3://bucket/a.pth', USAGE, "argument dst: 's3://bucket/a.pth' is no path of this machine"),
    ('official.pth official.pth --force', ERROR, 'official.pth is SRC itself'),
    ('official.pth link.pth --force', ERROR, 'link.pth is SRC itself'),
    ('official.pth notes.txt', ERROR, 'notes.txt is there already; name another file, or overwrite it with --force'),
    ('official.pth folder.py', ERROR, 'folder.py cannot be written: it is a folder'),
    ('official.pth /dev/null --force', ERROR, '/dev/null cannot be written: it is no regular file'),
    ('official.pth /proc/a.pth', ERROR, '/proc/a.pth cannot be written'),
    ('official.pth notes.txt/a.pth', ERROR, 'notes.txt/a.pth cannot be written'),
]
RENDER = [
    ('', USAGE, 'required: file'),
    ('missing', USAGE, "'missing': there is no such file"),
    ('folder.py', USAGE, "'folder.py': there is no such file"),
    ('notes.txt', ERROR, 'notes.txt, line 1: not a result'),
    ('empty.py', ERROR, 'empty.py is empty'),
]
PUBLISH = [
    ('weights.pth', USAGE, 'required: OUT'),
    ('missing.pth new.pth', USAGE, "'missing.pth': there is no such file"),
    ('weights.pth new.txt', USAGE, "'new.txt' does not end in .pth or .safetensors"),
    ('weights.pth no/new.pth', USAGE, 'no/new.pth cannot be written: its folder does not exist'),
    ('text.ckpt new.pth', ERROR, 'text.ckpt cannot be read as a checkpoint'),
    ('list.ckpt new.pth', ERROR, 'list.ckpt holds list'),
]
TOOLS = {
    'train': TRAIN,
    'test': TEST,
    'overfit': OVERFIT,
    'convert_checkpoint': CONVERT,
    'render_results': RENDER,
    'publish': PUBLISH,
}
CASES = [(tool, *case) for tool, cases in TOOLS.items() for case in cases]


@pytest.fixture(scope='module')
def folder(shapes_folder):
    """Data, configs and checkpoints, right and wrong ones."""
    for name, text in FILES.items():
        (shapes_folder / name).write_text(text)
    cfg = Config.fromfile(shapes_folder / 'tiny.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.save(MODELS.build(cfg.model).state_dict(), shapes_folder / 'weights.pth')
    content = (shapes_folder / 'weights.pth').read_bytes()
    (shapes_folder / 'half.pth').write_bytes(content[: len(content) // 2])
    golden = torch.load(ROOT / 'tests/data/contnet_golden.pt', weights_only=True)
    torch.save(golden['cases'][0]['state_dict'], shapes_folder / 'official.pth')
    torch.save([1], shapes_folder / 'list.ckpt')
    (shapes_folder / 'link.pth').symlink_to('official.pth')
    (shapes_folder / 'folder.py').mkdir()
    return shapes_folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture
def runners(monkeypatch):
    """The runners that would train."""
    runners = []
    monkeypatch.setattr(Runner, 'train', lambda runner: runners.append(runner))
    return runners


@pytest.mark.parametrize('tool, line, status, message', CASES)
def test_what_is_wrong_is_one_line(tool, line, status, message):
    arguments = shlex.split(line)
    if tool in ('train', 'test') and '--work-dir' not in arguments and not line.endswith('--table'):
        arguments = ['--work-dir', 'wrong', *arguments]
    _, errors = run_tool(f'tools/{tool}.py', *arguments, status=status)
    assert message in errors.splitlines()[-1] and 'Traceback' not in errors
    assert Path('notes.txt').read_text() == 'notes' and not Path('new.pth').exists()
    assert not list(Path().rglob('*.part'))


@pytest.mark.skipif(get_device() != 'cpu', reason='there is a GPU')
def test_mixed_precision_needs_a_gpu():
    assert '--amp: mixed precision needs a GPU' in run_tool('tools/train.py', 'tiny.py', '--amp', status=2)[1]


def test_torchvision_is_tried_before_training(monkeypatch):
    def import_module(name):
        raise RuntimeError('operator torchvision::nms does not exist')

    monkeypatch.setattr(toolboxes, 'import_module', import_module)
    for tool in ('train', 'overfit'):
        _, errors = run_tool(f'tools/{tool}.py', ROOT / 'configs/retinanet_r50_coco.py', status=1)
        assert 'torchvision cannot be imported: RuntimeError: operator torchvision::nms' in errors
        assert 'pip install --upgrade torchvision torch==' in errors


COMMANDS = sorted(
    str(path.relative_to(ROOT))
    for path in [*(ROOT / 'tools').iterdir(), *(ROOT / 'demo').glob('*.py')]
    if path.suffix == '.sh' or 'command_parser' in path.read_text()
)


@pytest.mark.parametrize('name', COMMANDS)
def test_help_describes_the_command_by_an_example(name):
    """Whatever else is on the command line."""
    if name.endswith('.sh'):
        text = subprocess.run([ROOT / name, '--help'], capture_output=True, text=True, check=True).stdout
    else:
        text, _ = run_tool(name, '--help')
    before, _, examples = text.partition('Example:\n')
    sentence = r'^[A-Z][^\n]+(\n\S[^\n]+)*\.$'
    assert 'usage: ' in text and re.search(sentence, before, re.MULTILINE)
    call = name if name.endswith('.sh') else f'python {name}'
    assert re.match(rf'    (\w+=.*\n? *)*{re.escape(call)}', examples)
    for config in re.findall(r'configs/\w+\.py', text):
        assert (ROOT / config).is_file()


def test_help_of_a_config_is_that_of_the_toolbox():
    for tool in ('train', 'test'):
        assert f'usage: python tools/{tool}.py CONFIG' in run_tool(f'tools/{tool}.py', '-h')[0]
        assert '--cfg-options' in run_tool(f'tools/{tool}.py', 'tiny.py', '-h')[0]


@pytest.mark.parametrize(
    'line', ['custom_hooks = []', 'default_hooks = None', "custom_hooks = [dict(type='mmengine.FiniteHook')]", '']
)
def test_training_has_its_hooks_whatever_the_config(runners, line):
    Path('own.py').write_text(f"_base_ = 'tiny.py'\n{line}")
    _, errors = run_tool('tools/train.py', 'own.py', '--work-dir', 'own')
    assert ('own.py lacks ExactResumeHook' in errors) == bool(line.startswith('custom_hooks'))
    names = [type(hook).__name__ for hook in runners[0].hooks]
    assert names.count('ExactResumeHook') == names.count('FiniteHook') == names.count('CheckpointHook') == 1


@pytest.mark.parametrize('name', ['a,b.jsonl', '2024', '[a]', 'None', 'it\'s "q".jsonl', '(1,2', 'a=b c'])
def test_table_takes_any_name(name):
    Path(name).write_text('{"config": "a", "checkpoint": "b", "metrics": {"mIoU": 1}}')  # No line break at its end.
    run_tool('tools/test.py', 'tiny.py', '--work-dir', 'any', 'weights.pth', '--table', name)
    text, _ = run_tool('tools/render_results.py', name)
    assert '| a | measured, b | 1.00 |' in text and '| tiny | measured, weights.pth |' in text
    Path(name).unlink()


def test_existing_file_is_overwritten_by_force():
    Path('old.pth').write_text('old')
    run_tool('tools/convert_checkpoint.py', 'official.pth', 'old.pth', '--force')
    assert 'state_dict' in read_checkpoint('old.pth')


def test_interrupted_conversion_leaves_the_old_file(monkeypatch):
    def fail(file):
        raise OSError(errno.ENOSPC, 'No space left on device')

    Path('old.pth').write_text('old')
    monkeypatch.setattr(fileio.os, 'fsync', fail)
    _, errors = run_tool('tools/convert_checkpoint.py', 'official.pth', 'old.pth', '--force', status=1)
    assert errors.splitlines()[-1].endswith('old.pth: No space left on device')
    assert Path('old.pth').read_text() == 'old' and not list(Path().glob('*.part'))


def test_overfit_evaluates_on_its_training_images(runners):
    run_tool('tools/overfit.py', 'tiny.py', '--images', 2, status=1)
    cfg = runners[0].cfg
    train, val = (Runner.build_dataloader(loader).dataset for loader in (cfg.train_dataloader, cfg.val_dataloader))
    assert len(train.dataset) == len(val) == 2
    assert [train.dataset.get_data_info(i)['img_path'] for i in range(2)] == [
        val.get_data_info(i)['img_path'] for i in range(2)
    ]


def test_overfit_knows_options_of_the_data(runners):
    options = [
        'test_pipeline.1.keep_ratio=False',
        'train_dataloader.dataset.ann_file=annotations/instances_val2017.json',
    ]
    run_tool('tools/overfit.py', 'tiny.py', '--images', 2, '--cfg-options', *options, status=1)
    cfg = runners[0].cfg
    assert cfg.val_dataloader.dataset.pipeline[1].keep_ratio is False
    assert cfg.train_dataloader.dataset.dataset.ann_file == 'annotations/instances_val2017.json'


def test_overfit_counts_images_and_detections():
    few = ['tiny.py', '--epochs', 1, '--size', 64]
    assert 'AP50 on 6 training images: ' in run_tool('tools/overfit.py', *few, '--images', 100000, '--ap50', 0)[0]
    nothing = ['--images', 2, '--cfg-options', 'model.test_cfg.score_thr=1.0']
    assert 'AP50 on 2 training images: 0.000' in run_tool('tools/overfit.py', *few, *nothing, status=1)[1]


def test_interruption_leaves_whole_files(folder):
    command = [sys.executable, ROOT / 'tools/train.py', 'tiny.py', '--work-dir', 'interrupted']
    options = ['--cfg-options', 'train_cfg.max_epochs=1000', 'train_cfg.val_interval=1000']
    process = subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # Ignored where the tests run in background.
    )
    deadline = time.time() + 200
    while not (folder / 'interrupted/last_checkpoint').exists():
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and b'Traceback' not in errors and errors.endswith(b'Interrupted\n')
    assert not list((folder / 'interrupted').rglob('*.part'))
    read_checkpoint((folder / 'interrupted/last_checkpoint').read_text())


@pytest.mark.parametrize(
    'line, status, message',
    [
        ('dist_test.sh tiny.py weights.pth abc', 2, "'abc' is no positive integer"),
        ('dist_train.sh tiny.py', 1, 'the number of PROCESSES is missing'),
        ('dist_train.sh missing.py 1', 2, 'missing.py: there is no such config'),
    ],
)
def test_launchers_say_what_is_wrong(line, status, message):
    script, *arguments = line.split()
    env = {**os.environ, 'PORT': '29537', 'OMP_NUM_THREADS': '1'}
    result = subprocess.run([ROOT / 'tools' / script, *arguments], env=env, capture_output=True, text=True)
    assert result.returncode == status and message in result.stderr and 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    'options, more',
    [([], []), (['--compile'], ['CompileHook']), (['--tensorboard', '--compile'], ['CompileHook', 'TensorboardHook'])],
)
def test_train_adds_hooks(monkeypatch, options, more):
    hooks = []
    monkeypatch.setattr(
        'mmcontnet.engine.entry_points.run_entry_point', lambda script, usage, added: hooks.extend(added)
    )
    monkeypatch.setattr(toolboxes, 'import_module', lambda name: None)  # TensorBoard's.
    monkeypatch.setattr(sys, 'argv', ['train.py', 'tiny.py', *options])
    runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    assert hooks == ['ExactResumeHook', 'FiniteHook', 'StrictLoadHook', *more]


def test_missing_tensorboard_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)
    _, errors = run_tool('tools/train.py', 'tiny.py', '--tensorboard', status=1)
    assert errors.splitlines()[-1].startswith('--tensorboard: ') and errors.endswith('; pip install tensorboard\n')


@pytest.fixture
def bare(monkeypatch):
    """As if none of what exported models need were installed."""
    for name in ('onnx', 'onnx_ir', 'onnxscript', 'onnxruntime'):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith(('mmcontnet.deploy', 'mmcontnet.export'))]:
        monkeypatch.delitem(sys.modules, name)


def test_checkpoints_are_evaluated_without_onnxruntime(monkeypatch, bare):
    scripts = []
    monkeypatch.setattr('mmcontnet.engine.entry_points.run_entry_point', lambda script, *_: scripts.append(script))
    run_tool('tools/test.py', ROOT / 'configs/retinanet_contm_coco.py', 'epoch_12.pth')
    assert scripts == ['test.py']


def test_missing_onnx_says_what_to_install(bare):
    _, errors = run_tool('tools/export.py', 'tiny.py', 'epoch_12.pth', '--out', 'exported', status=1)
    assert errors.endswith("; pip install 'mmcontnet[export]'\n") and len(errors.splitlines()) == 1


def test_missing_onnxruntime_says_what_to_install(bare):
    _, errors = run_tool('tools/benchmark.py', '--models', 'model.onnx', status=2)
    assert errors.endswith('; pip install onnxruntime\n')
