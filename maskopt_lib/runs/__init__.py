"""The engine: records, parameters, parts of work, workers, sweeps, tables and statistics; it knows no lithography."""
