"""What code means as an experiment: metrics, targets, splits, seeds, variations and runs."""
