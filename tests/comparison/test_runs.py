import os
import signal
import time

import pytest

from mmcontnet.comparison.runs import Processes, Run, complete, find_share, leave_out_diverged, locked

LINES = [
    ('11/26 - mmengine - INFO - Epoch(train)  [3][ 45/90]  lr: 1.0e-03  eta: 0:01:00  loss: 1.2', 10, 0.25),
    ('11/26 - mmengine - INFO - Epoch(train) [10][90/90]  lr: 1.0e-03', 10, 1.0),
    ('11/26 - mmengine - INFO - Iter(train) [  500/40000]  base_lr: 1.0e-02', None, 0.0125),
    ('11/26 - mmengine - INFO - Epoch(val) [3][60/60]    coco/bbox_mAP: 0.0740', 10, None),
    ('11/26 - mmengine - INFO - Saving checkpoint at 3 epochs', 10, None),
]
# A command that fails once, then writes what is asked of it.
TOOL = """
import sys
import time
from pathlib import Path
arguments = sys.argv[1:]
folder = Path(arguments[arguments.index('--work-dir') + 1])
folder.mkdir(parents=True, exist_ok=True)
print('Epoch(train) [1][1/2]', *arguments)
if Path('broken').exists():
    reason = Path('broken').read_text()
    Path('broken').unlink()
    sys.exit(reason)
if Path('slow').exists():
    Path('slow').unlink()
    time.sleep(60)
(folder / NAME).write_text('{}')
"""


@pytest.mark.parametrize('line, epochs, share', LINES)
def test_share_of_a_training(line, epochs, share):
    assert find_share(line, epochs) == share


@pytest.fixture
def processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, written in (('train', 'last_checkpoint'), ('test', 'results.json')):
        (tmp_path / f'{name}.py').write_text(TOOL.replace('NAME', repr(written)))
    with locked(tmp_path / 'out') as lock:
        yield Processes(tmp_path, lock)


@pytest.fixture
def runs(tmp_path):
    return [Run(name, tmp_path / 'a.py', 2, 0, tmp_path / 'out' / name) for name in ('first', 'second')]


def test_failure_keeps_what_is_finished_and_the_next_start_goes_on(processes, runs, tmp_path, capsys):
    complete(runs[:1], processes)
    (tmp_path / 'broken').write_text('the reason')
    with pytest.raises(
        ValueError, match=r'train\.py ended with status 1: the reason \(all output: .*second/train\.log'
    ):
        complete(runs, processes)
    (runs[1].folder / 'last_checkpoint').write_text('epoch_1.pth')  # As if it had been killed later.
    complete(runs, processes)
    first, second = ((run.folder / 'train.log').read_text().splitlines() for run in runs)
    assert len(first) == 1 and '--resume' not in first[0] and 'randomness.seed=0' in first[0]
    assert len(second) == 3 and '--resume' not in second[0] and '--resume' in second[2]
    assert [run.read_results() for run in runs] == [{}, {}]
    assert 'second, seed 0' in capsys.readouterr().err


def test_divergence_is_kept_and_the_others_go_on(processes, runs, tmp_path):
    reason = 'Iteration 7: 2 weights are not finite'
    (tmp_path / 'broken').write_text(f'a.py: {reason}, bn.weight for one; no checkpoint of them is saved. What to do')
    complete(runs, processes)
    assert runs[0].divergence_file.read_text() == reason and not (runs[0].folder / 'test').exists()
    assert runs[1].read_results() == {}
    complete(runs, processes)
    assert len((runs[0].folder / 'train.log').read_text().splitlines()) == 2  # Not trained again.


def test_seeds_of_which_one_diverged_are_left_out_of_all_models(tmp_path):
    runs = {name: [Run(name, tmp_path, 2, seed, tmp_path / name / str(seed)) for seed in range(3)] for name in 'abc'}
    assert leave_out_diverged(runs) == (runs, [])
    for run in [runs['a'][0], *runs['b']]:
        run.folder.mkdir(parents=True)
        run.divergence_file.write_text('Iteration 7: the loss is not finite')
    kept, lines = leave_out_diverged(runs)
    assert {name: [run.seed for run in own] for name, own in kept.items()} == {'a': [1, 2], 'c': [1, 2]}
    assert lines[0] == 'a diverged with seed 0: Iteration 7: the loss is not finite.'
    assert lines[4:] == [
        'b is left out, since it diverged with every seed.',
        'What follows is without seed 0 of all models: it tells only of trainings that end well.',
        'Only tests of seed 0 are compared image by image, so what is said of images is missing.',
    ]


def test_training_ends_with_the_comparison(processes, runs, tmp_path):
    (tmp_path / 'slow').touch()
    parent = os.fork()
    if not parent:
        with locked(tmp_path / 'killed') as lock:
            processes.lock = lock
            complete(runs[:1], processes)
        os._exit(0)
    deadline = time.time() + 30
    while (tmp_path / 'slow').exists() and time.time() < deadline:
        time.sleep(0.05)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    while time.time() < deadline:
        try:
            with locked(tmp_path / 'killed'):
                return
        except ValueError:  # The training runs.
            time.sleep(0.05)
    pytest.fail('the training outlives the comparison')


def test_only_the_first_seed_is_resampled(processes, runs):
    complete([runs[0], runs[1]._replace(seed=1)], processes)
    assert 'randomness.seed=1' in (runs[1].folder / 'train.log').read_text()
    first, second = ((run.folder / 'test.log').read_text() for run in runs)
    assert 'image_results.resamples=1000' in first and 'image_results.resamples=0' in second


def test_one_comparison_at_a_time(tmp_path):
    with locked(tmp_path / 'out'):
        with pytest.raises(ValueError, match=r'--out .*out: another comparison runs there'), locked(tmp_path / 'out'):
            pass
    with locked(tmp_path / 'out'):
        pass
