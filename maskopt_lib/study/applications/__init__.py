"""Recipes for people outside the papers: photonic devices along their curves, and kernels for other programs."""
