_base_ = ['mmdet::cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py', '_base_/mmcontnet.py']

model = dict(backbone=dict(init_cfg=dict(_delete_=True, type='Pretrained', checkpoint='torchvision://resnet50')))
# The published rows start from ImageNet, not from COCO.
load_from = None
# The toolbox's learning rate is for 8 GPUs with an image each.
auto_scale_lr = dict(base_batch_size=8)
