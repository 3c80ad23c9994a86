"""MaskOpt Study: exact lithography, honest metrics, OPC, ILT and learned masks behind reproducible notebooks."""

__version__ = "0.1.0"
