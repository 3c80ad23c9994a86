# What needs what: the runs, of the same variant, that a notebook reads. Those that draw (9x) read all others.
# Describes the store that notebook 22 built.
NEEDS_23_describe_dataset := 22_build_dataset
# Train on that store, and score what was trained.
NEEDS_31_train_models := 22_build_dataset
NEEDS_32_benchmark_models := 22_build_dataset 31_train_models
NEEDS_33_context_ablation := 22_build_dataset
# Takes the networks without a tag from there.
NEEDS_34_cell_tag_ablation := 22_build_dataset 33_context_ablation
NEEDS_35_fidelity_complexity := 22_build_dataset 31_train_models
NEEDS_36_generalisation := 22_build_dataset 31_train_models
NEEDS_37_learned_start := 22_build_dataset 31_train_models
