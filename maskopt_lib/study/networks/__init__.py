"""Recipes of the model notebooks: trainings, benchmarks and ablations."""
