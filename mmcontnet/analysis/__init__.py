"""What a trained or random network looks at: effective receptive fields and attention."""
