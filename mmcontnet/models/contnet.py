"""The ConTNet backbone."""

from math import lcm, prod
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..ops import in_strips
from ..weights.pretrained import load_pretrained, split_init_cfg, warn_of_start
from .arch import NUM_STAGES, POSITIVE, get_arch
from .arguments import check, choice, flag, integer, several
from .encoder import Encoder
from .layers import Conv2d
from .norm import build_norm
from .stem import STEMS, build_stem

POSITIONS = ('absolute', 'relative')


class ConTBlock(nn.Module):
    """Pre-activation block of two encoders and a convolution (paper, section 3.3).

    Args:
        channels (int): Number of input channels, C.
        patch_sizes (Sequence[int]): Patch size of the first encoder and of the second.
        norm_cfg (dict): Config of the norm at the entrance.
        encoder (dict): The other arguments of :class:`~mmcontnet.models.encoder.Encoder`.
        conv (nn.Module | None): The convolution after the encoders; None ends the block there.
        shortcut (nn.Module | None): Projection of the activated input; None takes the input itself. Defaults to None.
        dropout (float): Dropout rate of the block's output. Defaults to 0.
        with_cp (bool): Whether the encoders are computed again in the backward pass. Defaults to False.
    """

    def __init__(
        self,
        channels: int,
        patch_sizes: Sequence[int],
        norm_cfg: Dict[str, Any],
        encoder: Dict[str, Any],
        conv: Optional[nn.Module],
        shortcut: Optional[nn.Module] = None,
        dropout: float = 0.0,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.rows = lcm(*patch_sizes)  # that both encoders can be given by themselves
        self.with_cp = with_cp
        self.norm = build_norm(norm_cfg, channels)
        self.encoders = nn.Sequential(*(Encoder(channels, size, **encoder) for size in patch_sizes))
        self.conv = conv
        self.shortcut = shortcut
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
        """Runs the block.

        Args:
            x (Tensor): (B, C, H, W), channels-last.

        Returns:
            tuple: The second encoder's output, (B, C, H, W), and the block's, None where it ends at the encoders.
        """
        activated = F.relu(self.norm(x), inplace=True)
        encoded = self.encode(activated)
        if self.conv is None:
            return encoded, None
        # The convolution comes last, so that its backward pass, which needs most memory, comes first.
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        output = self.conv(encoded)
        output += shortcut
        return encoded, self.dropout(output)

    def encode(self, x: Tensor) -> Tensor:
        """Runs the two encoders: (B, C, H, W) to (B, C, H, W)."""
        x = x.permute(0, 2, 3, 1)  # (B, H, W, C)
        if self.with_cp and self.training:
            # One by one, since the backward pass keeps all of what it computes again.
            for encoder in self.encoders:
                x = checkpoint(encoder, x, use_reentrant=False)
        else:
            x = in_strips(self.encoders, x, self.rows)
        return x.permute(0, 3, 1, 2)


@MODELS.register_module()
class ConTNet(BaseModule):
    """ConTNet, a network of alternating convolutions and transformer encoders.

    `ConTNet: Why not use convolution and transformer at the same time? <https://arxiv.org/abs/2104.13497>`_

    Args:
        arch (str | dict): Size of the network: ``'ti'``, ``'s'``, ``'m'``, ``'b'`` or a dict of the fields of
            :class:`mmcontnet.models.arch.Arch`. Defaults to ``'m'``.
        in_channels (int): Channels of the image. Defaults to 3.
        stem (str): ``'conv'`` or ``'deep'``. Defaults to ``'conv'``.
        position (str): How the encoders know positions, ``'absolute'`` or ``'relative'``. Defaults to ``'absolute'``.
        qkv_bias (bool): Whether queries, keys and values have a bias. Defaults to True.
        pre_norm (bool): Whether the encoders' norms come first. Defaults to False.
        avg_down (bool): Whether shortcuts pool instead of skipping pixels. Defaults to False.
        strides (Sequence[int]): Strides of the convolutions that end the stages, each 1 or 2. Defaults to (2, 2, 2, 1);
            (2, 1, 1, 1) with dilations (1, 1, 2, 4) is output stride 8.
        dilations (Sequence[int]): Dilations of the stages' 3x3 convolutions. Defaults to (1, 1, 1, 1).
        out_indices (Sequence[int]): Stages whose maps are returned. The map of stages 0, 1, 2 is what leaves their last
            encoder; that of stage 3 is its output. Nothing is built past the last of them. Defaults to (0, 1, 2, 3).
        frozen_stages (int): Freezes the stem (0) and the stages up to this one (1 to 4); -1 freezes nothing.
            Defaults to -1.
        norm_cfg (dict): Config of the norms between the convolutions. Defaults to ``dict(type='BN')``.
        norm_eval (bool): Whether batch norms stay in evaluation mode during training. Defaults to False.
        with_cp (bool): Whether the encoders are computed again in the backward pass instead of kept in memory.
            Defaults to False.
        init_cfg (dict | None): ``dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')`` loads weights; see
            :func:`mmcontnet.weights.pretrained.load_pretrained`. Defaults to None, random weights.

    Attributes:
        out_channels (tuple[int]): Channels of the returned maps.
        out_strides (tuple[int]): Their strides relative to the image.

    Raises:
        ValueError: An argument is not allowed; the message names it.

    Example:
        >>> import torch
        >>> from mmcontnet import ConTNet
        >>> for x in ConTNet('s').eval()(torch.rand(1, 3, 200, 333)):
        ...     print(tuple(x.shape))
        (1, 64, 50, 84)
        (1, 128, 25, 42)
        (1, 256, 13, 21)
        (1, 1024, 7, 11)
    """

    def __init__(
        self,
        arch: Union[str, Dict[str, Any]] = 'm',
        in_channels: int = 3,
        stem: str = 'conv',
        position: str = 'absolute',
        qkv_bias: bool = True,
        pre_norm: bool = False,
        avg_down: bool = False,
        strides: Sequence[int] = (2, 2, 2, 1),
        dilations: Sequence[int] = (1, 1, 1, 1),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_cfg: Dict[str, Any] = dict(type='BN'),
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        sizes = get_arch(arch)
        self.in_channels = check('in_channels', in_channels, integer(POSITIVE), 'a positive integer')
        check('stem', stem, choice(STEMS), f'one of {STEMS}')
        check('position', position, choice(POSITIONS), f'one of {POSITIONS}')
        flags = dict(qkv_bias=qkv_bias, pre_norm=pre_norm, avg_down=avg_down, norm_eval=norm_eval, with_cp=with_cp)
        for name, value in flags.items():
            check(name, value, flag, 'True or False')
        each = several(integer((1, 2)), NUM_STAGES)
        strides = check('strides', strides, each, f'{NUM_STAGES} integers, each 1 or 2')
        each = several(integer(POSITIVE), NUM_STAGES)
        dilations = check('dilations', dilations, each, f'{NUM_STAGES} positive integers')
        expected = f'ascending stages from 0 to {NUM_STAGES - 1}, at least one'
        self.out_indices = check('out_indices', out_indices, several(integer(range(NUM_STAGES))), expected)
        if not self.out_indices or sorted(set(self.out_indices)) != list(self.out_indices):
            raise ValueError(f'out_indices is {out_indices!r}; expected {expected}')
        stages = range(-1, NUM_STAGES + 1)
        self.frozen_stages = check('frozen_stages', frozen_stages, integer(stages), f'-1 to {NUM_STAGES}')
        self.norm_eval = norm_eval

        self.stem = build_stem(stem, in_channels, sizes.width, norm_cfg)
        self.stages = nn.ModuleList()
        for stage in range(self.out_indices[-1] + 1):
            channels, stride, dilation = sizes.channels[stage], strides[stage], dilations[stage]
            if stage == NUM_STAGES - 1:
                last: Dict[str, Any] = dict(
                    conv=Conv2d(channels, 2 * channels, 1, stride),
                    shortcut=Conv2d(channels, 2 * channels, 1, stride),
                    dropout=sizes.output_dropout,
                )
            elif stage < self.out_indices[-1]:
                last = dict(
                    conv=Conv2d(channels, 2 * channels, 3, stride, dilation),
                    shortcut=_shortcut(channels, 2 * channels, stride, avg_down),
                )
            else:  # The map of this stage is taken before its last convolution.
                last = dict(conv=None)
            encoder = dict(
                heads=sizes.heads[stage],
                mlp_width=sizes.mlp_widths[stage],
                dropout=sizes.dropouts[stage],
                position=position,
                qkv_bias=qkv_bias,
                pre_norm=pre_norm,
            )
            ends = [dict(conv=Conv2d(channels, channels, 3, dilation=dilation)) for _ in range(sizes.depths[stage] - 1)]
            blocks = [
                ConTBlock(channels, sizes.patch_sizes[stage], norm_cfg, encoder, with_cp=with_cp, **end)
                for end in [*ends, last]
            ]
            self.stages.append(nn.ModuleList(blocks))

        all_channels = (*sizes.channels[:-1], 2 * sizes.channels[-1])
        self.out_channels = tuple(all_channels[stage] for stage in self.out_indices)
        self.out_strides = tuple(_stride(strides, stage) for stage in self.out_indices)
        self.apply(_init)
        self._freeze()

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Computes the maps of the stages in ``out_indices``.

        Args:
            x (Tensor): Images (B, in_channels, H, W) of any size.

        Returns:
            tuple[Tensor]: A map (B, C, H / stride, W / stride), rounded up, for each of ``out_indices``, in the memory
            format of ``x``.

        Raises:
            TypeError: ``x`` is no tensor of floating-point numbers.
            ValueError: ``x`` is no batch of images with ``in_channels`` channels.
        """
        expected = f'expected a float tensor (B, {self.in_channels}, H, W)'
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f'x is {x.dtype if isinstance(x, Tensor) else type(x).__name__}; {expected}')
        if x.dim() != 4 or x.shape[1] != self.in_channels or 0 in x.shape[2:]:
            raise ValueError(f'x has the shape {tuple(x.shape)}; {expected}')
        channels_last = x.stride(1) == 1 and not x.is_contiguous()
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        outs = []
        for index, stage in enumerate(self.stages):
            for block in stage.children():
                encoded, x = block(x)
            if index in self.out_indices:
                out = x if index == NUM_STAGES - 1 else encoded
                outs.append(out.contiguous(memory_format=memory_format))
        return tuple(outs)

    def init_weights(self) -> None:
        """Loads the weights that ``init_cfg`` names, and warns about what a run that begins here lacks.

        Raises:
            ValueError: ``init_cfg`` is wrong, or the weights do not fit.
        """
        warn_of_start(self.init_cfg)
        init_cfg = self.init_cfg
        pretrained, self.init_cfg = split_init_cfg(init_cfg)
        super().init_weights()  # by the other initializers
        self.init_cfg = init_cfg
        for arguments in pretrained:
            load_pretrained(self, **arguments)

    def train(self, mode: bool = True) -> 'ConTNet':
        """Sets the mode; frozen stages, and with ``norm_eval`` all batch norms, stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        frozen: List[nn.Module] = [self.stem, *self.stages][: self.frozen_stages + 1]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)


def _shortcut(in_channels: int, out_channels: int, stride: int, avg_down: bool) -> nn.Module:
    if not avg_down:
        return Conv2d(in_channels, out_channels, 1, stride)
    # Rounding up keeps the pooled map as large as the strided convolution's where a side is odd.
    pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False) if stride == 2 else nn.Identity()
    return nn.Sequential(pool, Conv2d(in_channels, out_channels, 1))


def _stride(strides: Sequence[int], stage: int) -> int:
    """The stride of a stage's map; the last stage's is taken after its convolution, the others' before."""
    return 4 * prod(strides if stage == NUM_STAGES - 1 else strides[:stage])


def _init(module: nn.Module) -> None:
    """Initial weights of the authors' release; norms and positions have theirs from the start."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
