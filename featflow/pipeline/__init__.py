"""A run from lock to commit; its plan and manifest; what is frozen from run to run; status, garbage, submission."""
