"""Reports: the plan and the progress of a run, and the state of the installation."""
