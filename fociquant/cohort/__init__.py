"""Room: cohort."""
