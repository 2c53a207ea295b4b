"""One MLP changed, undone, and observed before and after; it must know nothing of training and of
metrics."""
