import pytest

from mmcontnet.comparison.runs import Processes, Run, complete, find_share, locked

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
from pathlib import Path
arguments = sys.argv[1:]
folder = Path(arguments[arguments.index('--work-dir') + 1])
folder.mkdir(parents=True, exist_ok=True)
print('Epoch(train) [1][1/2]', *arguments)
if Path('broken').exists():
    Path('broken').unlink()
    sys.exit('the reason')
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
    (tmp_path / 'broken').touch()
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


def test_only_the_first_seed_is_resampled(processes, runs):
    for run in (runs[0], runs[1]._replace(seed=1)):
        complete([run], processes)
    first, second = ((run.folder / 'test.log').read_text() for run in runs)
    assert 'image_results.resamples=1000' in first and 'image_results.resamples=0' in second


def test_one_comparison_at_a_time(tmp_path):
    with locked(tmp_path / 'out'):
        with pytest.raises(ValueError, match=r'--out .*out: another comparison runs there'), locked(tmp_path / 'out'):
            pass
    with locked(tmp_path / 'out'):
        pass
