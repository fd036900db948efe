"""The stages: typed products in, one new product out."""
