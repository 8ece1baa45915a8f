"""What the toolboxes' data preprocessors do with pictures, for any height and width."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Under these names the preprocessors of mmengine, mmseg and mmpretrain keep whether they swap red and blue.
_SWAPS = ('_channel_conversion', 'channel_conversion', 'to_rgb')


class Inputs(nn.Module):
    """Normalizes and pads pictures.

    Args:
        preprocessor (nn.Module): The data preprocessor of a model of mmdet, mmseg or mmpretrain.
        dtype (torch.dtype): Type of the output.

    Raises:
        ValueError: The preprocessor pads to a fixed size.
    """

    def __init__(self, preprocessor: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        test_cfg = getattr(preprocessor, 'test_cfg', None) or {}  # Of mmseg.
        if test_cfg.get('size'):
            raise ValueError('data_preprocessor.test_cfg.size cannot be exported; expected size_divisor or no padding')
        self.dtype = dtype
        self.divisor = test_cfg.get('size_divisor') or getattr(preprocessor, 'pad_size_divisor', 1)
        self.value = getattr(preprocessor, 'pad_value', getattr(preprocessor, 'pad_val', 0))
        # Pictures are read as BGR there and given as RGB here.
        self.is_rgb = any(getattr(preprocessor, name, False) for name in _SWAPS)
        normalizes = preprocessor._enable_normalize
        for name, neutral in (('mean', 0.0), ('std', 1.0)):
            values = getattr(preprocessor, name) if normalizes else torch.full((3, 1, 1), neutral)
            self.register_buffer(name, values.clone())

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W, 3), RGB, 8 bits, to (B, 3, H', W'), padded on the right and at the bottom."""
        height, width = images.shape[1:3]
        x = images.permute(0, 3, 1, 2)
        x = (x if self.is_rgb else x.flip(1)).float()
        x = (x - self.mean) / self.std
        if self.divisor > 1:
            x = F.pad(x, (0, -width % self.divisor, 0, -height % self.divisor), value=self.value)
        return x.to(self.dtype)
