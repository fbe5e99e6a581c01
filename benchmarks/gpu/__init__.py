"""On a CUDA device: ours by CUDA and by Triton beside what a user would call otherwise. python -m benchmarks.gpu"""
