"""What models cost: parameters, multiply-accumulates, time and memory of a training step."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmengine.runner import Runner, autocast
from torch import Tensor

from ..evaluation.cost import bind, build, count_macs, count_parameters, on_meta
from ..evaluation.measuring import measure_memory, measure_time, name_device
from ..fileio import whole_file
from ..progress import track_progress

WARM_UP = 2
ROUNDS = 10


class Cost(NamedTuple):
    """What a model costs.

    Args:
        parameters (int): Numbers to learn, of all heads.
        macs (int | None): Multiply-accumulates of an image of ``size`` without auxiliary heads; None where the model
            cannot be counted.
        images (int): Images in a training step.
        size (tuple[int]): Their height and width in pixels.
        seconds (list[float]): Times of training steps: forward, loss and backward pass; the models took turns.
        memory (int): Bytes of tensors that a step holds at once at most, beyond weights and images.
        device (str): The processor or GPU that all this was measured on.
    """

    parameters: int
    macs: Optional[int]
    images: int
    size: Tuple[int, int]
    seconds: List[float]
    memory: int
    device: str


def measure_costs(cfgs: Dict[str, Config], files: Dict[str, Path], kept: Path) -> Dict[str, Cost]:
    """Measures the models on a batch of the training data each, in turn, so that other load affects them alike.

    Args:
        cfgs (dict[str, Config]): Configs by name.
        files (dict[str, Path]): The same, as files.
        kept (Path): JSON with what was measured before; written otherwise.
    """
    if kept.exists():
        found = {name: Cost(**cost) for name, cost in json.loads(kept.read_bytes()).items()}
        if set(found) == set(cfgs):
            return found
    device = get_device()
    steps, costs = {}, {}
    for name, cfg in cfgs.items():
        init_default_scope(cfg.default_scope)
        steps[name], images, parameters = make_step(cfg, device)
        macs = count_image(files[name], images)
        costs[name] = dict(parameters=parameters, macs=macs, images=len(images), size=tuple(images.shape[2:]))
    for _ in range(WARM_UP):
        for step in steps.values():
            step()
    rounds = [
        {name: measure_time(step, device) for name, step in steps.items()}
        for _ in track_progress(range(ROUNDS), 'Timing')
    ]
    for name, step in steps.items():
        seconds = [times[name] for times in rounds]
        costs[name].update(seconds=seconds, memory=measure_memory(step, device), device=name_device(device))
    with whole_file(kept) as file:
        file.write(json.dumps(costs).encode())
    return {name: Cost(**cost) for name, cost in costs.items()}


def make_step(cfg: Config, device: str) -> Tuple[Callable[[], None], Tensor, int]:
    """A training step without the optimizer, the images that it takes, (B, 3, H, W), and the model's parameters.

    In mixed precision where the config trains so.
    """
    loader = {**cfg.train_dataloader, 'num_workers': 0, 'persistent_workers': False}
    loader.pop('prefetch_factor', None)
    with redirect_stdout(StringIO()):  # On which pycocotools reports.
        batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        preprocessor = cfg.get('data_preprocessor')
        model = MODELS.build({**(dict(data_preprocessor=preprocessor) if preprocessor else {}), **cfg.model})
    model = revert_sync_batchnorm(model).to(device).train()
    data = model.data_preprocessor(batch, True)
    wrapper = cfg.get('optim_wrapper') or {}
    mixed = wrapper.get('type') == 'AmpOptimWrapper'
    dtype = wrapper.get('dtype') if mixed else None
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype

    def step() -> None:
        with autocast(dtype=dtype, enabled=mixed):
            losses = model(**data, mode='loss')
        loss, _ = model.parse_losses(losses)
        loss.backward()
        model.zero_grad()

    return step, data['inputs'], count_parameters(model)


def count_image(config: Path, images: Tensor) -> Optional[int]:
    """Multiply-accumulates of one of the images; None for the models that cannot be run without their data."""
    try:
        model = on_meta(build(str(config)))
        return count_macs(bind(model, torch.empty(1, *images.shape[1:], device='meta'))).total
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return None
