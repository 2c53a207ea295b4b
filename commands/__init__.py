"""What people run beside the stages: to take results away, to review them, to start. It may use all
of `pipeline`, and nothing of that may need it."""
