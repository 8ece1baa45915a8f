import pytest
import toy_training

from mmcontnet.engine.hooks.finite import DIVERGED

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('number', ['nan', 'inf'])
@pytest.mark.parametrize('poison', ['loss', 'weights'])
def test_not_finite_stops_training_and_keeps_the_last_checkpoint(poison, number, tmp_path, monkeypatch):
    forward = toy_training.Classifier.forward

    def poisoned(self, images, labels, mode):
        losses = forward(self, images, labels, mode)
        if mode == 'loss':
            self.calls = getattr(self, 'calls', 0) + 1
            if self.calls == 6 and poison == 'weights':
                self.ballast.data[7] = float(number)
            elif self.calls == 5 and poison == 'loss':
                losses['loss'] = losses['loss'] * float(number)
        return losses

    monkeypatch.setattr(toy_training.Classifier, 'forward', poisoned)
    expected = dict(
        loss=rf'Iteration 5: .*loss=-?{number}.*resume from .*iter_3\.pth',
        weights='Iteration 6: 1 weights are not finite, ballast',
    )[poison]
    with pytest.raises(FloatingPointError, match=expected) as error:
        toy_training.main('iterations', str(tmp_path))
    assert DIVERGED.match(str(error.value))
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_3.pth')


def test_without_a_checkpoint_training_is_to_start_again(tmp_path, monkeypatch):
    forward = toy_training.Classifier.forward
    monkeypatch.setattr(
        toy_training.Classifier,
        'forward',
        lambda *args, **kwargs: {'loss': forward(*args, **kwargs)['loss'] * float('nan')},
    )
    with pytest.raises(FloatingPointError, match=r'Iteration 1: .*start again \(no checkpoint was saved yet\)'):
        toy_training.main('iterations', str(tmp_path))
