"""Recipes of the solver notebooks: clips to masks, masks to scores, fronts, times and process windows."""
