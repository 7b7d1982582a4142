"""`python -m mminf`, and `torchrun -m mminf`: the `mminf` command."""

from mminf.cli.main import main

main()
