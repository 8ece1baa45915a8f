"""From a config and a checkpoint to a folder."""

import hashlib
import json
import logging
import os
import shutil
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.config import Config
from onnx_ir.passes.common import LiftConstantsToInitializersPass
from torch import nn
from torch.export import Dim, ExportedProgram

from .. import __version__
from ..deploy.description import FILE, VERSION, Description
from ..deploy.pictures import read_picture
from ..fileio import whole_file
from ..inference import build_predictor
from ..messages import one_line
from .check import check, first_picture
from .families import FAMILIES, wrap
from .operators import ONNX, TORCH, TRANSLATIONS
from .pipeline import read_pipeline

# The name of the file of each format.
FILES = {'onnx': 'model.onnx', 'pt2': 'model.pt2', 'compiled': 'compiled.pt2'}
TASKS = {'mmdet': 'detection', 'mmseg': 'segmentation', 'mmpretrain': 'classification'}
OPSET = 20
# Of the example; neither is a multiple of a stride.
HEIGHT, WIDTH = 190, 251


def export(
    cfg: Config, checkpoint: Path, out: Path, format: str = 'onnx', half: bool = False, picture: Optional[str] = None
) -> None:
    """Writes a model and its description to a folder, which appears once it is complete.

    Args:
        cfg (Config): The config that the model was trained with.
        checkpoint (Path): Its weights.
        out (Path): The folder, which must be empty or missing.
        format (str): ``'onnx'``, ``'pt2'`` for ``torch.export.load``, or ``'compiled'`` for
            ``torch._inductor.aoti_load_package``. Defaults to ``'onnx'``.
        half (bool): Whether the network computes in 16 bits. Defaults to False.
        picture (str | None): A file on which both models must find the same, or ``''`` for the first picture of the
            config's test data. Defaults to None, no check.

    Raises:
        ValueError: The model cannot be exported, or finds something else than the one of the checkpoint.
        OSError: The folder is not empty, or cannot be written.
    """
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f'{out} is not empty; name another folder')
    folder = Path(os.path.realpath(out))
    # A folder that is there may be the root of a file system, or a link.
    unfinished = folder / '.part' if folder.is_dir() else folder.with_name(f'{folder.name}.{os.getpid()}.part')
    if picture == '':
        picture = first_picture(cfg)
    image = None if picture is None else read_picture(picture)
    pipeline = read_pipeline(cfg)
    predictor = build_predictor(cfg, checkpoint, 'cpu')
    module = wrap(predictor.inferencer.model, ONNX if format == 'onnx' else TORCH, torch.half if half else torch.float)
    description = Description(
        version=VERSION,
        task=TASKS[cfg.default_scope],
        model=FILES[format],
        classes=predictor.classes,
        palette=[list(map(int, color)) for color in predictor.palette],
        pipeline=pipeline,
        dtype='float16' if half else 'float32',
        config=cfg.pretty_text,
        checkpoint=dict(file=checkpoint.name, sha256=hashlib.sha256(checkpoint.read_bytes()).hexdigest()),
        packages=dict(mmcontnet=__version__, **{name: version(name) for name in ('torch', 'onnx', 'onnxscript')}),
        **module.settings,
    )
    try:
        unfinished.mkdir(parents=True)
        say('Tracing the model, which takes minutes')
        # Inductor cannot lower strided convolutions of any number of pictures.
        batch = 1 if format == 'compiled' else FAMILIES[type(predictor.inferencer.model).__name__][1]
        program = trace(module, batch)
        say(f'Writing {description.model}')
        write(program, module.outputs, unfinished / description.model)
        with whole_file(unfinished / FILE) as file:
            file.write(json.dumps(description._asdict(), indent=1).encode())
        if image is not None:
            say(f'Comparing both models on {picture}')
            print(check(predictor, unfinished, image, picture))
        if unfinished.parent == folder:
            for name in (description.model, FILE):
                (unfinished / name).rename(folder / name)
        else:
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def say(text: str) -> None:
    """Tells on stderr what takes a while."""
    print(text, file=sys.stderr, flush=True)


def trace(module: nn.Module, batch: Optional[int]) -> ExportedProgram:
    """Traces a model for pictures of any size.

    Args:
        module (nn.Module): As of :func:`~mmcontnet.export.families.wrap`.
        batch (int | None): How many pictures at a time; None for any number.

    Raises:
        ValueError: It cannot be traced.
    """
    images = torch.zeros(batch or 2, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    dynamic: Any = [{1: Dim.DYNAMIC, 2: Dim.DYNAMIC, **({} if batch else {0: Dim.DYNAMIC})}]
    example: Any = [images]
    if 'label_map' in module.outputs:
        example.append(torch.tensor([HEIGHT, WIDTH]))
        dynamic.append({})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            return torch.export.export(module, tuple(example), dynamic_shapes=tuple(dynamic))
        except Exception as error:  # Of all kinds.
            raise ValueError(f'torch.export cannot trace the model: {one_line(str(error))}') from error


def write(program: ExportedProgram, outputs: Any, path: Path) -> None:
    """Writes a traced model.

    Raises:
        ValueError: The exporter has no translation for a part of it, or it cannot be compiled.
    """
    if path.name == FILES['pt2']:
        torch.export.save(program, path)
        return
    if path.name == FILES['compiled']:
        try:
            torch._inductor.aoti_compile_and_package(program, package_path=str(path))
        except Exception as error:  # Of all kinds.
            raise ValueError(f'AOTInductor cannot compile the model: {one_line(str(error))}') from error
        return
    # It warns that torchvision's operators are missing.
    logging.getLogger('torch.onnx._internal.exporter._registration').setLevel(logging.ERROR)
    inputs = ['images', 'size'][: len(program.graph_signature.user_inputs)]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            onnx = torch.onnx.export(
                program,
                dynamo=True,
                custom_translation_table=TRANSLATIONS,
                opset_version=OPSET,
                input_names=inputs,
                output_names=list(outputs),
                optimize=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ValueError(f'torch.onnx cannot write the model: {one_line(str(error))}') from error
    # What optimizes takes a time that grows with the square of the nodes, many of which are constants.
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(onnx.model)
    onnx.optimize()
    onnx.save(path, external_data=False)
