"""What the trials say: regions, comparisons and curves, from records alone."""
