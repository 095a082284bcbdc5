"""The exact engine: population and group effects integrated out, variances sampled, effects drawn exactly."""
