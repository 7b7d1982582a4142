"""First-party plugins, one folder per method."""
