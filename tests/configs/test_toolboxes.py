"""ConTNet in the place of ResNet-50 in the detectors and segmentors that the toolboxes ship."""

import pytest
from helpers import detection_batch, make_light, segmentation_batch, train_and_predict
from mmengine.hub import get_config
from mmengine.registry import MODELS, DefaultScope

import mmcontnet  # noqa: F401 (registers ConTNet)

pytestmark = pytest.mark.slow

DETECTORS = """
retinanet/retinanet_r50_fpn_1x_coco atss/atss_r50_fpn_1x_coco gfl/gfl_r50_fpn_1x_coco
fcos/fcos_r50-caffe_fpn_gn-head_1x_coco foveabox/fovea_r50_fpn_4xb4-1x_coco fsaf/fsaf_r50_fpn_1x_coco
free_anchor/freeanchor_r50_fpn_1x_coco reppoints/reppoints-moment_r50_fpn_1x_coco vfnet/vfnet_r50_fpn_1x_coco
faster_rcnn/faster-rcnn_r50_fpn_1x_coco
mask_rcnn/mask-rcnn_r50_fpn_1x_coco cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco
cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco
libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco
point_rend/point-rend_r50-caffe_fpn_ms-1x_coco solo/solo_r50_fpn_1x_coco solov2/solov2_r50_fpn_1x_coco
sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco detr/detr_r50_8xb2-150e_coco
conditional_detr/conditional-detr_r50_8xb2-50e_coco deformable_detr/deformable-detr_r50_16xb2-50e_coco
""".split()

SEGMENTORS = """
fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024 pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024
deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024
deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024 upernet/upernet_r50_4xb2-40k_cityscapes-512x1024
sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024 ocrnet/ocrnet_r101-d8_4xb2-40k_cityscapes-512x1024
danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024 gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024
nonlocal_net/nonlocal_r50-d8_4xb2-40k_cityscapes-512x1024 ann/ann_r50-d8_4xb2-40k_cityscapes-512x1024
encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024 segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024
""".split()

ARCH = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8))
# Channels of the four maps of ResNet-50 and of MiT-B0, and ours in their place.
CHANNELS = {256: 16, 512: 32, 1024: 64, 2048: 256}
MIT_CHANNELS = {32: 16, 64: 32, 160: 64, 256: 256}


def translate(part, names, channels):
    """Puts ConTNet's channels into the parts of a model that read the backbone's maps."""
    for name in names:
        value = part.get(name)
        if isinstance(value, (list, tuple)):
            part[name] = [channels[number] for number in value]
        elif value is not None:
            part[name] = channels[value]


def put_in_contnet(model, channels=CHANNELS):
    """Swaps the backbone of a model's config, as the few lines of the README do in a config file."""
    old = model.backbone
    dilated = tuple(old.get('strides') or ()) == (1, 2, 1, 1)
    strides = dict(strides=(2, 1, 1, 1), dilations=(1, 1, 2, 4)) if dilated else {}
    model.backbone = dict(type='ConTNet', arch=ARCH, out_indices=old.get('out_indices', (0, 1, 2, 3)), **strides)
    neck = model.get('neck')
    if neck is not None:
        readers = neck[:1] if isinstance(neck, list) else [neck]
    else:
        heads = [model.get('decode_head'), model.get('auxiliary_head')]
        readers = [part for head in heads if head for part in (head if isinstance(head, list) else [head])]
    for reader in readers:
        translate(reader, ('in_channels', 'c1_in_channels'), channels)
    make_light(model)
    model.pop('pretrained', None)
    return model


@pytest.mark.parametrize('name', DETECTORS)
def test_detectors(name):
    config = get_config(f'mmdet::{name}.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(put_in_contnet(config.model))
        model.init_weights()
        train_and_predict(model, detection_batch(80))


@pytest.mark.parametrize('name', SEGMENTORS)
def test_segmentors(name):
    config = get_config(f'mmseg::{name}.py')
    channels = MIT_CHANNELS if 'mit' in name else CHANNELS
    with DefaultScope.overwrite_default_scope('mmseg'):
        config.model.data_preprocessor.size = (64, 128)
        model = MODELS.build(put_in_contnet(config.model, channels))
        results = train_and_predict(model, segmentation_batch())
    assert [result.pred_sem_seg.shape for result in results] == [(64, 128)] * 2
