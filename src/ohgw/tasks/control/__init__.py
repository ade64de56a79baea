"""Control: a file for each task; files with an underscore hold environments and PPO."""
