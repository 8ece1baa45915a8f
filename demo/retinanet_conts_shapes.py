_base_ = '../configs/retinanet_contm_coco.py'

metainfo = dict(
    classes=('circle', 'triangle', 'square', 'star'),
    palette=[(220, 50, 50), (40, 150, 70), (50, 90, 220), (200, 130, 0)],
)
data_root = 'work_dirs/demo/shapes/'

model = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    # From random weights and few images, norms before attention and MLP learn in fewer steps; see docs/evidence.md.
    backbone=dict(arch='s', pre_norm=True),
    bbox_head=dict(num_classes=4, stacked_convs=2),
    # Shapes hardly overlap: of the boxes around one, whatever their classes, the best is kept.
    test_cfg=dict(nms=dict(class_agnostic=True)),
)

# A third of the size of the images.
scale = (160, 128)
train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = scale
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = scale
train_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.05), clip_grad=dict(max_norm=10)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=max_epochs),
    visualization=dict(score_thr=0.5),
)
randomness = dict(seed=0)
