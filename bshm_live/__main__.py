"""`python -m bshm_live` is `bshm-live`."""

import sys

from .cli import main

sys.exit(main())
