"""`python -m freehold.cli` is the freehold command."""

from freehold.cli import main

main()
