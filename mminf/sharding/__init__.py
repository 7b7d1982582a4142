"""A run in shards: each process works on the records of one shard; what they did is merged."""
