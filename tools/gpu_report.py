"""Checks ConTNet on a GPU, times it beside other backbones, and writes the figures as JSON and as Markdown.

Example:
    python tools/gpu_report.py --out gpu.json
    python tools/gpu_report.py --models contm --out gpu.json

It needs torch and mmengine; ResNet and Swin come from torchvision or, where that is not installed, from mmdet. The
models have random weights and run in turn, so that other load on the machine affects all of them alike. What was
measured is written after each step.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import argparse
import copy
import json
import sys
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, schedule

from mmcontnet import ConTNet
from mmcontnet.commands import command, command_parser, describe, output_file, positive_int
from mmcontnet.evaluation.gpu_tables import render_report
from mmcontnet.evaluation.measuring import measure_memory, name_device, name_dtype
from mmcontnet.fileio import whole_file
from mmcontnet.models.arch import ARCHS
from mmcontnet.ops import patch_attention
from mmcontnet.ops.padding import padded_attention
from mmcontnet.progress import track_progress

CONTNETS = {f'cont{arch}': arch for arch in ARCHS}
RIVALS = {
    'r18': ('resnet18', dict(type='mmdet.ResNet', depth=18, norm_eval=False)),
    'r50': ('resnet50', dict(type='mmdet.ResNet', depth=50, norm_eval=False)),
    'r101': ('resnet101', dict(type='mmdet.ResNet', depth=101, norm_eval=False)),
    'swin_t': ('swin_t', dict(type='mmdet.SwinTransformer')),
}
SHAPES = ((64, 3, 224, 224), (8, 3, 224, 224), (2, 3, 800, 1216), (1, 3, 896, 1344))
BASE = 'r50'
WARM_UP = 4
KERNELS = 12  # of each model that are written
STEPS = 2  # in a row, before the device is waited for
# Maps, heads and patch sizes of ConT-M's encoders at 64 x 3 x 224 x 224, and one that patches do not divide.
ENCODERS = (
    ((64, 56, 56, 64), 1, 7),
    ((64, 56, 56, 64), 1, 14),
    ((64, 28, 28, 128), 2, 14),
    ((64, 14, 14, 256), 4, 14),
    ((64, 7, 7, 512), 8, 7),
    ((2, 200, 304, 64), 1, 14),
)
# Largest differences from float32 on a CPU, relative to the norm: of a map, and of all gradients together.
TOLERANCES = {torch.float32: (1e-5, 1e-5), torch.float16: (5e-3, 6e-2), torch.bfloat16: (4e-2, 1.5e-1)}


class TorchvisionBackbone(nn.Module):
    """The maps of the four stages of a network of torchvision."""

    def __init__(self, name: str) -> None:
        super().__init__()
        from torchvision import models
        from torchvision.models.feature_extraction import create_feature_extractor

        stages = ('layer1', 'layer2', 'layer3', 'layer4')
        if name == 'swin_t':
            stages = ('features.1', 'features.3', 'features.5', 'features.7')
        self.network = create_feature_extractor(getattr(models, name)(), list(stages))

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Computes the maps."""
        return tuple(self.network(x).values())


def build(name: str) -> nn.Module:
    """Builds a backbone with random weights."""
    torch.manual_seed(0)
    if name in CONTNETS:
        return ConTNet(CONTNETS[name])
    try:
        return TorchvisionBackbone(RIVALS[name][0])
    except ImportError:
        import mmdet.models  # noqa: F401 (registers them)
        from mmengine.registry import MODELS

        return MODELS.build(RIVALS[name][1])


class Bench:
    """Measures on a device.

    Args:
        device (str): ``'cuda'`` or ``'cpu'``.
        rounds (int): How many times every model has its turn.
    """

    def __init__(self, device: str, rounds: int) -> None:
        self.device = device
        self.rounds = rounds

    def wait(self) -> None:
        """Waits until the device has done everything."""
        if self.device == 'cuda':
            torch.cuda.synchronize()

    def images(self, shape: Sequence[int]) -> Tensor:
        """Random images, channels-last."""
        return torch.rand(*shape, device=self.device).to(memory_format=torch.channels_last)

    def step(
        self, model: nn.Module, images: Tensor, dtype: torch.dtype, train: bool, execution: str = 'eager'
    ) -> Callable[[], Any]:
        """A forward pass under autocast; in training the backward pass, too."""
        model.train(train)
        # Captured casts of weights must not be reused outside of their graph.
        autocast = partial(
            torch.autocast, self.device, dtype, dtype != torch.float32, cache_enabled=execution != 'graph'
        )
        if execution == 'compiled':
            model = self.compile(model)
        if execution == 'graph' and train:
            with autocast():
                model = torch.cuda.make_graphed_callables(copy.deepcopy(model), (images,))

        def run() -> Any:
            torch.compiler.cudagraph_mark_step_begin()
            with torch.set_grad_enabled(train), autocast():
                maps = model(images)
            if train:
                sum(x.mean(dtype=torch.float32) for x in maps).backward()
                model.zero_grad()
            return maps

        return self.replay(run) if execution == 'graph' and not train else run

    def compile(self, model: nn.Module) -> nn.Module:
        """A compiled network; on a GPU as CUDA graphs, so that the host is not the bound."""
        return torch.compile(model, dynamic=False, mode='reduce-overhead' if self.device == 'cuda' else None)

    def times(self, runs: Sequence[Callable[[], Any]]) -> np.ndarray:
        """Seconds that each takes, (rounds, runs)."""
        for run in runs:
            for _ in range(WARM_UP):
                run()
        seconds = []
        for _ in range(self.rounds):
            seconds.append([])
            for run in runs:
                self.wait()
                start = time.perf_counter()
                for _ in range(STEPS):
                    run()
                self.wait()
                seconds[-1].append((time.perf_counter() - start) / STEPS)
        return np.array(seconds)

    def kernels(self, run: Callable[[], Any]) -> Dict[str, Tuple[float, int]]:
        """For each kernel of a run how many seconds it takes and how often it is launched."""
        activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        with profile(activities=activities, schedule=schedule(wait=0, warmup=1, active=1, repeat=1)) as profiler:
            for _ in range(2):
                run()
                self.wait()
                profiler.step()
        seconds, counts = Counter(), Counter()
        for event in profiler.events():
            # The profiler's own step appears among the kernels, too.
            if event.device_type == torch.autograd.DeviceType.CUDA and not event.name.startswith('ProfilerStep'):
                seconds[event.name] += event.device_time / 1e6
                counts[event.name] += 1
        return {name: (second, counts[name]) for name, second in seconds.most_common()}

    def replay(self, run: Callable[[], Any]) -> Callable[[], Any]:
        """A run captured as a CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            maps = run()

        return partial(_replay, graph, maps, run)


def _replay(graph: Any, maps: Any, network: Callable[[], Any]) -> Any:
    """Runs a CUDA graph; the network is an argument because the graph reads its weights, which must not be freed."""
    graph.replay()
    return maps


@contextmanager
def no_synchronization() -> Iterator[None]:
    """Makes torch raise an error where the host waits for the device."""
    torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')


def difference(x: Tensor, reference: Tensor) -> float:
    """The norm of the difference relative to the reference's."""
    x, reference = x.double().cpu(), reference.double().cpu()
    return float((x - reference).norm() / reference.norm().clamp(min=1e-12))


def compute_gradients(
    model: nn.Module, images: Tensor, weights: Sequence[Tensor], device: str, dtype: torch.dtype
) -> Tuple[List[Tensor], List[Tensor]]:
    """Maps on a device, of training and of inference, and all gradients of their weighted mean in one tensor."""
    model = copy.deepcopy(model).to(device)
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        maps = model(images.to(device))
        with torch.no_grad():
            inferred = model.eval()(images.to(device))
    loss = sum((x.float() * weight.to(device)).mean() for x, weight in zip(maps, weights))
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return [x.detach() for x in (*maps, *inferred)], [torch.cat([gradient.flatten() for gradient in gradients])]


def check_equality(device: str, arch: str) -> List[Dict[str, Any]]:
    """Compares maps and gradients with float32 on a CPU, at a size that patches do not divide, without TF32."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    torch.backends.cudnn.allow_tf32 = False
    rows = []
    for position in ('absolute', 'relative'):
        torch.manual_seed(0)
        model = ConTNet(arch, position=position, norm_eval=True).train()
        images = torch.rand(2, 3, 104, 131)
        weights = [torch.randn_like(x) for x in model(images)]
        reference = compute_gradients(model, images, weights, 'cpu', torch.float32)
        for dtype, tolerances in TOLERANCES.items():
            values = compute_gradients(model, images, weights, device, dtype)
            # NumPy's maximum keeps NaN.
            found = [float(np.max(list(map(difference, *pair)))) for pair in zip(values, reference)]
            row = dict(position=position, dtype=name_dtype(dtype), maps=found[0], gradients=found[1])
            rows.append(dict(row, holds=all(error <= tolerance for error, tolerance in zip(found, tolerances))))
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = True  # As by default.
    return rows


def check_synchronization(bench: Bench, shape: Sequence[int], position: str) -> Dict[str, str]:
    """Whether the host waits for the GPU in inference and training, and whether inference replays as a CUDA graph."""
    results = {}
    images, model = bench.images(shape), ConTNet('m', position=position)
    model.to(bench.device, memory_format=torch.channels_last)
    for name, train in (('inference', False), ('training', True)):
        run = bench.step(model, images, torch.bfloat16, train)
        run()
        try:
            with no_synchronization():
                run()
            results[name] = 'none'
        except RuntimeError as error:
            results[name] = describe(error)
    run = bench.step(model, images, torch.bfloat16, False)
    replay = bench.replay(run)
    images.copy_(torch.rand_like(images))
    expected = run()
    error = float(np.max(list(map(difference, replay(), expected))))
    results['graph'] = 'equal' if error == 0 else f'differs by {error:.1e}'
    return results


class Case(NamedTuple):
    """What is timed together: which models on which images, how."""

    models: Sequence[str]
    shape: Tuple[int, ...]
    dtype: torch.dtype
    train: bool
    execution: str  # 'eager', 'graph' or 'compiled'


def plan(names: Sequence[str], shapes: Sequence[Tuple[int, ...]], has_graphs: bool) -> List[Case]:
    """All cases, those that take longest last."""
    executions = ('eager', 'graph') if has_graphs else ('eager',)
    half, pair, modes = torch.bfloat16, names[:2], (False, True)
    cases = [Case(pair, shape, half, train, how) for shape in shapes for how in executions for train in modes]
    others = [BASE, *names[2:]]
    if len(others) > 1:
        cases += [Case(others, shapes[0], half, train, how) for how in executions for train in modes]
    if has_graphs:
        cases += [Case(pair, shapes[0], torch.float32, train, 'graph') for train in modes]
        cases += [Case(pair, shapes[0], half, train, 'compiled') for train in reversed(modes)]
    return cases


def time_models(bench: Bench, models: Dict[str, nn.Module], case: Case) -> List[Dict[str, Any]]:
    """Times models in turn."""
    images = bench.images(case.shape)
    if case.execution == 'compiled':
        torch.compiler.reset()
    runs = {name: bench.step(models[name], images, case.dtype, case.train, case.execution) for name in case.models}
    seconds = bench.times(list(runs.values()))
    base = list(case.models).index(BASE)
    rows = []
    for index, (name, run) in enumerate(runs.items()):
        row = dict(
            model=name,
            shape=list(case.shape),
            dtype=name_dtype(case.dtype),
            step='training' if case.train else 'inference',
            execution=case.execution,
            seconds=float(np.median(seconds[:, index])),
            ratio=float(np.median(seconds[:, index] / seconds[:, base])),
        )
        if case.execution == 'eager':
            row['memory_mib'] = measure_memory(run, bench.device) / 2**20
        if bench.device == 'cuda' and len(case.models) == 2:
            kernels = bench.kernels(run)
            row['busy'] = sum(second for second, _ in kernels.values()) / row['seconds']
            row['launches'] = sum(count for _, count in kernels.values())
            row['kernels'] = {kernel[:80]: values for kernel, values in list(kernels.items())[:KERNELS]}
        rows.append(row)
    return rows


def time_attention(bench: Bench, shape: Sequence[int], heads: int, patch_size: int) -> Dict[str, Any]:
    """Times attention in bfloat16 against the form that pads patches and masks what is missing."""
    batch, height, width, channels = shape
    qkv = torch.randn(batch, height, width, 3 * channels, device=bench.device, dtype=torch.bfloat16)
    grad = torch.randn(*shape, device=bench.device, dtype=torch.bfloat16)
    ours = lambda x: patch_attention(x, heads, patch_size)  # noqa: E731
    plain = lambda x: padded_attention(x, heads, patch_size)  # noqa: E731

    def inference(form: Callable) -> Callable[[], Any]:
        return torch.no_grad()(lambda: form(qkv))

    def training(form: Callable) -> Callable[[], Any]:
        x = qkv.clone().requires_grad_()
        return lambda: torch.autograd.grad(form(x), x, grad)

    row = dict(shape=list(shape), heads=heads, patch_size=patch_size)
    for name, step in (('inference', inference), ('training', training)):
        runs = [step(ours), step(plain)]
        if bench.device == 'cuda':  # Without what the host adds to small kernels.
            for run in runs:
                run()
            ours_seconds, plain_seconds = (sum(second for second, _ in bench.kernels(run).values()) for run in runs)
        else:
            ours_seconds, plain_seconds = np.median(bench.times(runs), axis=0)
        row[name] = dict(seconds=float(ours_seconds), ratio=float(ours_seconds / plain_seconds))
    return row


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser(__doc__)
    parser.add_argument('--out', type=output_file, required=True, metavar='FILE', help='JSON file to write')
    names = ['contm', 'contti', 'conts', 'contb', 'r18', 'r101', 'swin_t']
    parser.add_argument(
        '--models',
        nargs='+',
        choices=names,
        default=names,
        metavar='MODEL',
        help=f'what to time beside {BASE}, the first at all shapes; of {", ".join(names)} (default: all)',
    )
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda', help='where to run (default: cuda)')
    parser.add_argument('--rounds', type=positive_int, default=8, help='number of rounds (default: 8)')
    parser.add_argument('--quick', action='store_true', help='one tiny shape and no compilation, to try the command')
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('argument --device: torch finds no GPU; use --device cpu')
    return args


@command
def main() -> None:
    """Checks, measures, writes and prints."""
    warnings.simplefilter('ignore')  # Of torch's profiler.
    args = parse_args()
    bench = Bench(args.device, args.rounds)
    on_gpu = args.device == 'cuda'
    shapes = ((1, 3, 64, 64),) if args.quick else SHAPES
    report = dict(device=name_device(args.device), torch=torch.__version__, times=[], failures=[])
    report['equality'] = check_equality(args.device, 'ti' if args.quick else 's')
    if on_gpu:
        positions = ('absolute', 'relative')
        report['synchronization'] = {name: check_synchronization(bench, shapes[0], name) for name in positions}
    names = [BASE, *args.models]
    models = {name: build(name).to(args.device, memory_format=torch.channels_last) for name in names}
    cases = plan(names, shapes, on_gpu)
    encoders = [((1, 9, 8, 64), 1, 7)] if args.quick else ENCODERS
    report['attention'] = [time_attention(bench, *encoder) for encoder in track_progress(encoders, 'attention')]
    torch.set_float32_matmul_precision('high')
    for case in track_progress(cases, 'models'):
        try:
            report['times'] += time_models(bench, models, case)
        except Exception as error:  # Of the compiler, say: what has been measured is worth having.
            report['failures'].append(f'{case}: {describe(error)}')
        write(args.out, report)
    print(render_report(report))
    if not holds(report):
        sys.exit('something failed or does not hold; see above')


def holds(report: Dict[str, Any]) -> bool:
    """Whether all is equal, without synchronization, and measured."""
    fine = {'inference': 'none', 'training': 'none', 'graph': 'equal'}
    waits = report.get('synchronization', {}).values()
    return all(row['holds'] for row in report['equality']) and all(x == fine for x in waits) and not report['failures']


def write(path: Path, report: Dict[str, Any]) -> None:
    """Writes what has been measured so far."""
    with whole_file(path) as file:
        file.write(json.dumps(report, indent=1).encode())


if __name__ == '__main__':
    main()
