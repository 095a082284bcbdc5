"""Files to frames, a function per format: cells as they stand, nothing interpreted."""
