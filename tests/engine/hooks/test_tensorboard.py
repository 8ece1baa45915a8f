import pytest
import toy_training
from mmengine.hooks import Hook
from mmengine.runner import Runner

EventAccumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator').EventAccumulator


class DrawingHook(Hook):
    """As mmdet's and mmseg's."""

    draw, interval = False, 50


class EnabledHook(Hook):
    """As mmpretrain's."""

    enable, interval = False, 5000


@pytest.mark.slow
@pytest.mark.parametrize('configured', [False, True])
def test_curves_are_logged_and_pictures_switched_on(tmp_path, configured):
    config = toy_training.make_config('epochs', tmp_path, 1)
    config.train_dataloader.update(num_workers=0, persistent_workers=False)
    config.train_cfg.max_epochs = 1
    config.custom_hooks = [dict(type='TensorboardHook')]
    config.default_hooks.logger = dict(type='LoggerHook', interval=1)
    config.experiment_name = tmp_path.name
    if configured:
        config.visualizer = dict(type='Visualizer', vis_backends=[dict(type='TensorboardVisBackend')])
    runner = Runner.from_cfg(config)
    hooks = DrawingHook(), EnabledHook()
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    (events,) = tmp_path.rglob('events.out.tfevents.*')
    log = EventAccumulator(str(events)).Reload()
    assert {'lr', 'loss', 'zero'} <= set(log.Tags()['scalars'])
    assert len(log.Scalars('loss')) == 3
    assert hooks[0].draw and hooks[0].interval == 1  # Of 3 batches.
    assert hooks[1].enable and hooks[1].interval == 1  # Of 12 images.
