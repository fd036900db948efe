"""`python -m reco.cli` is `reco`."""

from reco.cli import main

main()
