"""Published and measured results, and the cost of models."""
