"""Reports: pure functions of a results directory. They read run directories and nothing else."""
