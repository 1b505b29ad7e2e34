"""The corridor: the order of the rooms, Dask, resume, progress.

:func:`fociquant.run.study.run_study` counts a study, :func:`fociquant.run.study.recount`
makes its tables again, :func:`fociquant.run.preflight.preflight` looks before anything
is started. Nothing is imported here: checking a study must not wait for a network.
"""
