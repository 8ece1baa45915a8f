"""Exported models that find the same in every picture, made without torch."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BOXES = np.array([[[10, 5, 30, 20], [0, 0, 8, 8], [0, 0, 0, 0]]], np.float32)
SCORES = np.array([[0.9, 0.2, 0]], np.float32)
LABELS = np.array([[1, 0, 0]])
MASKS = np.ones((1, 3, 4, 4), np.float32)
CLASSES = np.array([[0.2, 0.7, 0.1]], np.float32)
DESCRIPTION = dict(
    version=1,
    task='detection',
    model='model.onnx',
    classes=['cat', 'dog', 'cow'],
    palette=[[255, 0, 0], [0, 255, 0], [0, 0, 255]],
    pipeline=dict(resize=dict(scale=[80, 60]), backend='cv2', crop=None),
    dtype='float32',
    config='',
    checkpoint=dict(file='epoch_1.pth', sha256='0'),
    packages={},
    max_per_image=3,
    score_threshold=0.05,
)


def write_model(folder, nodes, outputs, constants=(), size=False):
    images = helper.make_tensor_value_info('images', TensorProto.UINT8, ['b', 'h', 'w', 3])
    sizes = [helper.make_tensor_value_info('size', TensorProto.INT64, [2])] if size else []
    values = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    graph = helper.make_graph(nodes, 'model', [images, *sizes], values, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)], ir_version=10)
    onnx.save(model, folder / 'model.onnx')


def write_constant(folder, **outputs):
    """A model whose outputs are always the same."""
    constants = [numpy_helper.from_array(value, f'{name}_') for name, value in outputs.items()]
    nodes = [helper.make_node('Identity', [f'{name}_'], [name]) for name in outputs]
    kinds = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in outputs.items()}
    write_model(folder, nodes, kinds, constants)


def write_exported(folder, task='detection', masks=False, **changes):
    """An exported model of a kind; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if task == 'detection':
        write_constant(folder, boxes=BOXES, scores=SCORES, labels=LABELS, **(dict(masks=MASKS) if masks else {}))
    elif task == 'segmentation':
        one = numpy_helper.from_array(np.array([1]), 'one')
        value = helper.make_tensor('value', TensorProto.UINT8, [1], [2])
        nodes = [
            helper.make_node('Concat', ['one', 'size'], ['shape'], axis=0),
            helper.make_node('ConstantOfShape', ['shape'], ['label_map'], value=value),
        ]
        write_model(folder, nodes, dict(label_map=TensorProto.UINT8), [one], size=True)
    else:
        write_constant(folder, scores=CLASSES)
    description = {**DESCRIPTION, 'task': task, **(dict(mask_threshold=0.5) if masks else {}), **changes}
    (folder / 'model.json').write_text(json.dumps(description))
    return folder
