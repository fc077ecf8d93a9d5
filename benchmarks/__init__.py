"""`python -m benchmarks`: the speed and memory of the layers beside PyTorch's and the other ways to write a cell."""
