import logging

import pytest
import toy_training
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import Runner

from mmcontnet import ConTNet
from mmcontnet.missing_hooks import find_missing

EXACT, FINITE = dict(type='ExactResumeHook'), dict(type='FiniteHook')


@pytest.fixture
def train(tmp_path, caplog):
    """Trains until an epoch with some hooks; returns the warnings that name one of ours."""

    def train(epochs, hooks, resume=False):
        config = toy_training.make_config('epochs', tmp_path, 1)
        config.train_dataloader.update(num_workers=0, persistent_workers=False)
        config.train_cfg.max_epochs = epochs
        config.update(custom_hooks=hooks, resume=resume, experiment_name=f'{tmp_path.name}_{epochs}')
        runner = Runner.from_cfg(config)
        runner.logger.addHandler(caplog.handler)
        caplog.clear()
        try:
            runner.train()
        finally:
            MMLogger.get_current_instance().removeHandler(caplog.handler)
        warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        return [text for text in warnings if 'ExactResumeHook' in text or 'FiniteHook' in text]

    return train


@pytest.mark.slow
def test_missing_hooks_are_announced_once_and_resuming_is_said_to_be_not_exact(train):
    (warning,) = train(1, [])
    assert warning.startswith('ConTNet trains without ExactResumeHook and FiniteHook: resuming is not exact')
    assert warning.endswith("custom_hooks = [dict(type='ExactResumeHook'), dict(type='FiniteHook')]")
    (warning,) = train(2, [FINITE], resume=True)
    assert warning.startswith('This run resumes without ExactResumeHook: resuming is not exact')
    assert warning.endswith("custom_hooks = [dict(type='ExactResumeHook')]")
    (warning,) = train(3, [EXACT, FINITE], resume=True)
    assert warning.startswith('Resuming is not exact: the checkpoint was saved without ExactResumeHook')
    assert train(4, [EXACT, FINITE], resume=True) == []


@pytest.mark.parametrize(
    'text, missing',
    [
        ('custom_hooks = [dict(type="ExactResumeHook"), dict(type="mmengine.FiniteHook")]', []),
        ('custom_hooks = [dict(type="mmcontnet.engine.hooks.exact_resume.ExactResumeHook")]', ['FiniteHook']),
        ('custom_hooks = [dict(type="MyFiniteHook")]', ['ExactResumeHook', 'FiniteHook']),
    ],
)
def test_hooks_are_found_in_the_text_of_a_config(text, missing):
    assert find_missing(text) == missing


def test_outside_of_a_run_nothing_is_said(tiny, caplog):
    logger = MMLogger.get_instance('outside')
    MessageHub.get_instance('outside')
    logger.addHandler(caplog.handler)
    ConTNet(**tiny).init_weights()
    logger.removeHandler(caplog.handler)
    assert 'Hook' not in caplog.text
