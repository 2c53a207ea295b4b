"""What runs beside a stage on a cluster."""
