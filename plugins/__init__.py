"""First-party plugins, one folder a method."""
