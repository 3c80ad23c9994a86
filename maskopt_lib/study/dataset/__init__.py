"""Recipes of the dataset: designs surveyed, tiles planned, cut, chosen, labelled and described."""
