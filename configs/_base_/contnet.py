_base_ = 'mmcontnet.py'

# From random weights, batch norms learn their statistics, over all devices.
sync_bn = 'torch'
