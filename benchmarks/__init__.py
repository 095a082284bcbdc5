"""Claims of speed, as ratios against peers on the same machine. Run, never imported by the package or its tests."""
