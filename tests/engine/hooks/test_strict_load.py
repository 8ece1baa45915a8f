import pytest
import torch
import toy_training
from mmengine.runner import Runner

pytestmark = pytest.mark.slow


def make_runner(tmp_path, content, **settings):
    torch.save(content, tmp_path / 'weights.pth')
    config = toy_training.make_config('iterations', tmp_path / 'run')
    config.custom_hooks.append(dict(type='StrictLoadHook'))
    config.train_cfg.max_iters = 1
    settings = {'resume': False, 'load_from': str(tmp_path / 'weights.pth'), **settings}
    return Runner.from_cfg({**config, **settings, 'experiment_name': tmp_path.name})


def weights():
    return toy_training.Classifier().state_dict()


def test_training_starts_from_weights_that_fit(tmp_path):
    expected = weights()
    runner = make_runner(tmp_path, {f'module.{name}': value for name, value in expected.items()})
    runner.load_or_resume()
    assert all(torch.equal(value, expected[name]) for name, value in runner.model.state_dict().items())


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda weights: weights.pop('head.weight'), 'missing: head.weight'),
        (lambda weights: weights.update(extra=torch.zeros(1)), 'left over: extra'),
        (lambda weights: weights.update({'head.weight': None}), 'no tensors: head.weight'),
        (lambda weights: weights['head.weight'].fill_(float('nan')), 'not finite: head.weight'),
        (
            lambda weights: weights.update({'backbone.stem.0.weight': torch.zeros(16, 1, 7, 7)}),
            'of another shape: back',
        ),
    ],
)
@pytest.mark.parametrize('train', [True, False])
def test_other_weights_are_refused(tmp_path, change, words, train):
    content = weights()
    change(content)
    runner = make_runner(tmp_path, content, **({} if train else evaluation_settings()))
    with pytest.raises(ValueError, match=rf'weights\.pth does not fit the model .*{words}'):
        runner.train() if train else runner.test()


def evaluation_settings():
    loader = toy_training.make_config('iterations', '').val_dataloader
    return dict(test_dataloader=loader, test_cfg=dict(), test_evaluator=dict(type='Nothing'))


def test_head_of_other_classes_starts_from_random_weights_in_training_only(tmp_path):
    content = {**weights(), 'head.weight': torch.zeros(5, 256), 'head.bias': torch.zeros(5)}
    runner = make_runner(tmp_path, content)
    runner.train()
    assert runner.model.head.weight.std() > 0
    runner = make_runner(tmp_path, content, **evaluation_settings())
    with pytest.raises(ValueError, match='of another shape: head'):
        runner.test()


def test_training_is_not_resumed_from_bare_weights(tmp_path):
    for content in (weights(), {'state_dict': weights(), 'meta': {}}):
        runner = make_runner(tmp_path, content, resume=True)
        with pytest.raises(ValueError, match=r'cannot be resumed from .*weights\.pth.* load_from='):
            runner.train()
