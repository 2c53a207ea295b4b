"""What a run gives away: adapters, merged models, monitors and directions, each with its card; it
must know nothing of how results are made, and no stage may need it."""
