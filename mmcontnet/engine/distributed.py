"""Distributed training on CPUs, which mmengine's launchers do not know: they ask for a GPU."""

from typing import Any, List, Optional

import torch
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import MODEL_WRAPPERS
from torch import nn


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """Data parallelism between processes on CPUs.

    Torch synchronises batch norms on GPUs only; here each process normalizes by its own images.

    Args:
        module (nn.Module): The model.
        device_ids (list[int] | None): Given by mmengine, of no meaning on a CPU.
        kwargs: Of torch's ``DistributedDataParallel``.
    """

    def __init__(self, module: nn.Module, device_ids: Optional[List[int]] = None, **kwargs: Any) -> None:
        super().__init__(module=revert_sync_batchnorm(module), **kwargs)


def start_on_cpu() -> List[str]:
    """Joins the process group of ``torchrun``, which mmengine then uses as it is.

    Returns:
        list[str]: What the config needs, as KEY=VALUE.
    """
    torch.distributed.init_process_group('gloo')
    return [
        f'model_wrapper_cfg.type={CPUDistributedDataParallel.__name__}',
        'model_wrapper_cfg.broadcast_buffers=False',
    ]
