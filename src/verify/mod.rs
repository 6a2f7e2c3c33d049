//! Running a model over a dataset and judging its claim.
