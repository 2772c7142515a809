"""What a run writes and what it ran on: whole files, locked folders, versions."""
