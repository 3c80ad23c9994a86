"""Recipes for areas larger than a field: windows, seams, and what is mended at them."""
