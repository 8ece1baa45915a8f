_base_ = 'imagenet.py'

# Mixup and CutMix take turns, a batch each.
data_preprocessor = dict(
    batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)

# RandAugment m9-mstd0.5-inc1 of timm.
train_pipeline = _base_.train_pipeline
train_pipeline.insert(
    3,
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bilinear'),
    ),
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
