"""Small numeric kernels."""
