"""The import names of torch_scatter, torch_sparse and pyg_lib, served by our ops."""
