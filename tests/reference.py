"""A slow and plain ConTNet to compare with: pads, masks, and attends patch by patch with explicit softmax."""

import torch
import torch.nn.functional as F
from torch import nn

from mmcontnet import ConTNet
from mmcontnet.models.encoder import AbsolutePosition


def randomise(model):
    """Gives parameters and statistics that start as zeros or ones values of their own."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5) if 'running_var' in name else tensor.data.normal_(0, 0.2)
    return model


def build(**settings):
    return randomise(ConTNet(**settings)).eval()


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


def pad_map(x, size, value):
    """Pads (B, C, H, W) at the bottom and right to multiples of size."""
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % size, 0, -height % size), value=value)


def attend(attn, tokens, bias):
    """Multi-head self-attention of one sequence (N, C)."""
    length, channels = tokens.shape
    qkv = F.linear(tokens, attn.qkv.weight, attn.qkv.bias)
    q, k, v = qkv.view(length, 3, attn.heads, channels // attn.heads).permute(1, 2, 0, 3)
    logits = q @ k.transpose(1, 2) * (channels // attn.heads) ** -0.5 + bias
    values = (logits.softmax(-1) @ v).transpose(0, 1).reshape(length, channels)
    return F.linear(values, attn.proj.weight, attn.proj.bias)


def mlp(layers, tokens):
    """Two linear layers with GELU between them, on tokens (N, C)."""
    hidden = F.gelu(F.linear(tokens, layers.fc1.weight, layers.fc1.bias))
    return F.linear(hidden, layers.fc2.weight, layers.fc2.bias)


def encode(encoder, x, patch_size, padding=0.0):
    """An encoder on a map (B, C, H, W), over the valid tokens of each patch of the padded map."""
    height, width = x.shape[2:]
    valid = pad_map(torch.ones(1, 1, height, width), patch_size, 0.0)[0, 0].bool()
    padded = pad_map(x, patch_size, padding)
    out = torch.full_like(padded, torch.nan)
    heads = encoder.attn.heads
    for image in range(x.shape[0]):
        for top in range(0, padded.shape[2], patch_size):
            for left in range(0, padded.shape[3], patch_size):
                window = slice(top, top + patch_size), slice(left, left + patch_size)
                inside = valid[window]
                places = inside.nonzero()  # (N, 2)
                tokens = padded[(image, slice(None), *window)][:, inside].T
                bias = x.new_zeros(heads, 1, 1)
                if isinstance(encoder.position, AbsolutePosition):
                    rows = encoder.position.rows[places[:, 0], 0]
                    columns = encoder.position.columns[0, places[:, 1]]
                    tokens = tokens + torch.cat([rows, columns], 1)
                else:
                    delta = places[:, None] - places + patch_size - 1
                    bias = encoder.position.table[delta[..., 0] * (2 * patch_size - 1) + delta[..., 1]].permute(2, 0, 1)
                if encoder.pre_norm:
                    tokens = tokens + attend(encoder.attn, encoder.norm1(tokens), bias)
                    tokens = tokens + mlp(encoder.mlp, encoder.norm2(tokens))
                else:
                    tokens = encoder.norm1(tokens + attend(encoder.attn, tokens, bias))
                    tokens = encoder.norm2(tokens + mlp(encoder.mlp, tokens))
                out[(image, slice(None), *window)][:, inside] = tokens.T
    return out[:, :, :height, :width]


def forward(model, x):
    """All maps of a ConTNet in evaluation mode."""
    x = model.stem(x)
    outs = []
    for stage in model.stages:
        for block in stage:
            activated = F.relu(block.norm(x))
            encoded = activated
            for encoder, size in ((encoder, encoder.attn.patch_size) for encoder in block.encoders):
                encoded = encode(encoder, encoded, size)
            shortcut = x if block.shortcut is None else block.shortcut(activated)
            x = block.conv(encoded) + shortcut
        outs.append(encoded)
    outs[-1] = x
    return outs
