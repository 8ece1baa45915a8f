"""Declares the operators without which torchvision cannot be imported.

Torchvision's own come from a library that loads beside the torch that it was built for. Nothing here calls them.
"""

import torch

for name in ('nms', 'qnms'):
    torch.library.define(f'torchvision::{name}', '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
