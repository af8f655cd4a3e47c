"""Speed as ratios against peers and against the matrix products alone: `make bench`, or `python -m benchmarks`."""
