"""From a folder of texts to params that run here: looked at, fitted to the machine, checked."""
