from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def golden():
    """Inputs and outputs of the authors' release."""
    return torch.load(ROOT / 'tests/data/contnet_golden.pt', weights_only=True)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def tiny():
    """Arguments of a network that takes milliseconds."""
    return dict(arch=dict(width=8, depths=(1, 2, 1, 2), mlp_widths=(16, 32, 64, 64)))
