"""Training runs: steps, rounds, lanes, checkpoints, workdirs."""
