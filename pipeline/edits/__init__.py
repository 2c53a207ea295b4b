"""One MLP changed, undone, and observed before and after. It knows nothing of training and of
metrics."""
