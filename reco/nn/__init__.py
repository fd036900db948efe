"""Networks: pure torch modules that never read a file."""
