"""Times backbones, detectors or segmentors side by side: ratios, share of the machine's peak, memory.

Example:
    python tools/benchmark.py --models contm r50 swin_t --shapes 8x3x224x224 1x3x800x1344
    python tools/benchmark.py --models contm contm+cp r50 --train --device cuda --dtype bfloat16
    python tools/benchmark.py --models configs/fcos_r50_coco.py configs/fcos_contm_coco.py --shapes 1x3x800x1344
    python tools/benchmark.py --models contm@COMMIT contm r50  # against another commit of this repository
    python tools/benchmark.py --models exported/model.onnx contm  # by onnxruntime, beside torch

The models have random weights and are timed in turn, so that other load on the machine affects all of them alike; those
of another commit run in a process of their own. Compare the ratios: absolute times vary between machines and hours.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import argparse
import json
import math
import os
import re
import sys
import warnings
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontnet import memory
from mmcontnet.commands import about, command, command_parser, describe, output_file, positive_int
from mmcontnet.evaluation.baseline import Baseline
from mmcontnet.evaluation.cost import BACKBONES, bind, build, count_macs, on_meta, tensors
from mmcontnet.evaluation.measuring import measure_memory, measure_time, name_device, name_dtype
from mmcontnet.evaluation.onnx_file import OnnxFile
from mmcontnet.evaluation.tables import markdown_table
from mmcontnet.fileio import whole_file
from mmcontnet.ops import extension
from mmcontnet.progress import track_progress

WARM_UP = 3
HEADER = ('model', 'images', 'median (ms)', 'ratio to the first (quartiles)', 'GMACs', 'of the peak', 'memory (MiB)')
NOTE = """
Ratio and share of the peak are medians of what they were in each round; the peak is the convolution or matrix product
named above. GMACs count the convolutions and matrix products of what is timed, in training with the backward pass.
Memory is that of the tensors at their most, beyond weights and images."""


class Mode(NamedTuple):
    """How the models run: device, type of the products, whether to train, compile and keep maps channels-last."""

    device: str
    dtype: torch.dtype
    train: bool
    compile: bool
    channels_last: bool

    def describe(self) -> Dict[str, Any]:
        """What a reader must know to compare, with the machine and its torch."""
        on_cpu = dict(
            threads=torch.get_num_threads(),
            memory='kept' if memory.is_kept() else "by glibc's default",
            attention="torch's own" if extension.MISSING else 'C++ operator',
        )
        return dict(
            device=name_device(self.device),
            torch=torch.__version__,
            **(on_cpu if self.device == 'cpu' else {}),
            dtype=name_dtype(self.dtype),
            layout='channels-last' if self.channels_last else 'channels-first',
            execution='compiled' if self.compile else 'eager',
            step='training (forward and backward)' if self.train else 'inference',
        )


def make_step(model: nn.Module, images: Tensor, mode: Mode) -> Callable[[], List[Tensor]]:
    """What is timed: a forward pass; in training also the backward pass of the sum of the outputs' means.

    Args:
        model (nn.Module | Baseline | OnnxFile): As of :func:`build_named`.
        images (Tensor): (B, 3, H, W).
        mode (Mode): How to run it.

    Returns:
        Callable: Takes nothing and returns the outputs; leaves no gradients behind.
    """
    if isinstance(model, (Baseline, OnnxFile)):
        model.prepare(tuple(images.shape), **{**mode._asdict(), 'dtype': name_dtype(mode.dtype)})
        return lambda: [torch.tensor(0.0 if model.run() else math.nan)]
    forward = bind(model, images)
    if mode.compile:
        forward = torch.compile(forward, dynamic=False)

    def step() -> List[Tensor]:
        autocast = torch.autocast(mode.device, mode.dtype, enabled=mode.dtype != torch.float32)
        with torch.set_grad_enabled(mode.train), autocast:
            outputs = list(tensors(forward()))
        if mode.train:
            sum(output.mean(dtype=torch.float32) for output in outputs).backward()
            model.zero_grad()
        return outputs

    return step


def warm_up(name: str, step: Callable[[], List[Tensor]]) -> None:
    """Runs a step a few times, and ends the program where it fails or gives numbers that are not finite."""
    print(f'{name}: warm-up', file=sys.stderr)
    try:
        for _ in range(WARM_UP):
            outputs = step()
    except (RuntimeError, ValueError) as error:
        sys.exit(f'{name} cannot run with these options: {describe(error)}')
    if not all(output.isfinite().all() for output in outputs):
        sys.exit(f'{name} gives numbers that are not finite')


def count_step(model: nn.Module, shape: Tuple[int, ...], mode: Mode) -> int:
    """Multiply-accumulates of what is timed."""
    step = make_step(on_meta(model), torch.empty(shape, device='meta'), mode._replace(compile=False))
    return count_macs(step).total


class Product(NamedTuple):
    """A matrix product that is timed beside the models: what runs it, its operations, and its name."""

    run: Callable[[], Tensor]
    flops: int
    name: str


def find_fastest_product(device: str, dtype: torch.dtype) -> Tuple[Product, float]:
    """The fastest of some 3x3 convolutions and, on a GPU, products of square matrices; with its operations per second.

    On a CPU torch multiplies matrices at most as fast as it convolves, and far slower in float16.
    """
    products = []
    for channels in (128, 256, 512):
        batch, side = (32 if device == 'cuda' else 1), 56
        x = torch.rand(batch, channels, side, side, device=device).to(dtype, memory_format=torch.channels_last)
        weight = torch.rand(channels, channels, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
        flops = 2 * x.numel() * channels * 3**2
        products.append(Product(partial(F.conv2d, x, weight, padding=1), flops, f'3x3 convolution of {tuple(x.shape)}'))
    for size in (2048, 4096, 8192) if device == 'cuda' else ():
        a, b = torch.rand(2, size, size, device=device).to(dtype)
        products.append(Product(partial(torch.mm, a, b), 2 * size**3, f'product of {size}x{size} matrices'))
    rates = [product.flops / min(measure_time(product.run, device) for _ in range(5)) for product in products]
    best = int(np.argmax(rates))
    return products[best], rates[best]


def compare(
    models: Sequence[Tuple[str, nn.Module]], shape: Tuple[int, ...], mode: Mode, product: Product, repeats: int
) -> List[Dict[str, Any]]:
    """Runs the models in turn on images of a shape.

    Args:
        models (Sequence[tuple[str, nn.Module | Baseline | OnnxFile]]): Names and models, on the device.
        shape (tuple[int]): Shape of the images, (B, 3, H, W).
        mode (Mode): How to run them.
        product (Product): The machine's fastest, which has its turn, too.
        repeats (int): Number of rounds, in each of which every model has its turn.

    Returns:
        list[dict]: For each model its times and their median, the median and the quartiles of its ratios to the first
        model, its multiply-accumulates, their rate relative to the product's, and its memory; None where unknown.
    """
    if mode.compile:
        torch.compiler.reset()  # Torch compiles a function for a few shapes only, then runs it as it is.
    layout = torch.channels_last if mode.channels_last else torch.contiguous_format
    images = torch.rand(shape, device=mode.device).to(memory_format=layout)
    steps = [make_step(model, images, mode) for _, model in models]
    for (name, _), step in zip(models, steps):
        warm_up(name, step)
    rounds = [
        [measure_time(run, mode.device) for run in (*steps, product.run)]
        for _ in track_progress(range(repeats), 'x'.join(map(str, shape)))
    ]
    *seconds, product_seconds = np.transpose(rounds)
    results = []
    for (name, model), step, times in zip(models, steps, seconds):
        ratios = times / seconds[0]
        is_torch = isinstance(model, nn.Module)
        macs = None
        if not isinstance(model, OnnxFile):
            macs = count_step(model if is_torch else build(name.partition('@')[0]), shape, mode)
        results.append(
            dict(
                model=name,
                shape=shape,
                seconds=times.tolist(),
                median_seconds=float(np.median(times)),
                ratio=float(np.median(ratios)),
                ratio_quartiles=np.percentile(ratios, [25, 75]).tolist(),
                gmacs=macs and macs / 1e9,
                share_of_peak=macs and float(np.median((2 * macs / times) / (product.flops / product_seconds))),
                memory_mib=measure_memory(step, mode.device) / 2**20 if is_torch else None,
            )
        )
    return results


def format_row(result: Dict[str, Any]) -> List[str]:
    """The cells of a result under :data:`HEADER`."""
    return [
        result['model'],
        'x'.join(map(str, result['shape'])),
        f'{1e3 * result["median_seconds"]:.1f}',
        f'{result["ratio"]:.2f} ({" to ".join(f"{ratio:.2f}" for ratio in result["ratio_quartiles"])})',
        '-' if result['gmacs'] is None else f'{result["gmacs"]:.2f}',
        '-' if result['share_of_peak'] is None else f'{result["share_of_peak"]:.0%}',
        '-' if result['memory_mib'] is None else f'{result["memory_mib"]:.1f}',
    ]


def parse_shape(text: str) -> Tuple[int, ...]:
    """``'8x3x224x224'`` to (8, 3, 224, 224)."""
    if not re.fullmatch(r'[1-9]\d*x3x[1-9]\d*x[1-9]\d*', text):
        raise argparse.ArgumentTypeError(f'{text!r} is no shape of images; expected Bx3xHxW, as 8x3x224x224')
    shape = tuple(map(int, text.split('x')))
    if 4 * math.prod(shape) > os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'):
        raise argparse.ArgumentTypeError(f'images of {text} do not fit into the memory of this machine')
    return shape


def build_named(name: str) -> Union[nn.Module, Baseline, OnnxFile]:
    """Builds a model; errors name it."""
    backbone, at, commit = name.partition('@')
    with about(name):
        if name.endswith('.onnx'):
            return OnnxFile(name)
        return Baseline(BACKBONES[backbone], commit) if at and backbone in BACKBONES else build(name)


def parse_args() -> argparse.Namespace:
    """Reads and checks the command line, and builds the models that it names."""
    parser = command_parser(
        __doc__,
        epilog=f'A MODEL is one of {", ".join(BACKBONES)}, with +cp at its end for gradient checkpoints or @COMMIT, '
        'a config, or an ONNX file, which onnxruntime runs.',
    )
    parser.add_argument(
        '--models', nargs='+', default=['r50', 'contm'], metavar='MODEL', help='what to compare (default: r50 contm)'
    )
    parser.add_argument(
        '--shapes',
        nargs='+',
        type=parse_shape,
        default=[(8, 3, 224, 224)],
        metavar='Bx3xHxW',
        help='shapes of the images (default: 8x3x224x224)',
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='where to run (default: cpu)')
    parser.add_argument(
        '--dtype',
        choices=['float32', 'bfloat16', 'float16'],
        default='float32',
        help='type that autocast computes products in (default: float32, without autocast)',
    )
    parser.add_argument('--train', action='store_true', help='time training steps instead of inference')
    parser.add_argument('--compile', action='store_true', help='compile each model for each shape with torch.compile')
    parser.add_argument('--channels-last', action='store_true', help='keep weights and maps channels-last')
    parser.add_argument('--repeats', type=positive_int, default=20, help='number of rounds (default: 20)')
    parser.add_argument('--json', type=output_file, metavar='FILE', help='file to write the numbers to as well')
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('argument --device: torch finds no GPU; use --device cpu')
    try:
        args.models = [(name, build_named(name)) for name in args.models]
    except ValueError as error:
        parser.error(f'argument --models: {error}')
    is_plain = args.device == 'cpu' and args.dtype == 'float32' and not args.train
    if not is_plain and any(isinstance(model, OnnxFile) for _, model in args.models):
        parser.error('argument --models: ONNX files run without --device, --dtype and --train only')
    return args


@command
def main() -> None:
    """Measures and prints."""
    warnings.simplefilter('ignore')  # The toolboxes warn about themselves.
    args = parse_args()
    mode = Mode(args.device, getattr(torch, args.dtype), args.train, args.compile, args.channels_last)
    for _, model in args.models:
        if not isinstance(model, nn.Module):
            continue
        model.to(args.device)
        model.train(mode.train)
        if mode.channels_last:
            model.to(memory_format=torch.channels_last)
    if args.device == 'cpu':
        memory.advise()
    product, rate = find_fastest_product(mode.device, mode.dtype)
    setting = dict(mode.describe(), peak=f'{rate / 1e9:.0f} GFLOP/s, {product.name}')
    results = [result for shape in args.shapes for result in compare(args.models, shape, mode, product, args.repeats)]
    print('\n' + '\n'.join(f'{name}: {value}' for name, value in setting.items()) + '\n')
    print(markdown_table(HEADER, [format_row(result) for result in results]))
    print(NOTE)
    if args.json:
        with whole_file(args.json) as file:
            file.write(json.dumps(dict(setting=setting, results=results), indent=1).encode())


if __name__ == '__main__':
    main()
