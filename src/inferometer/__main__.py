"""`python -m inferometer` is the command `inferometer`."""

import sys

from inferometer.cli import main

sys.exit(main())
