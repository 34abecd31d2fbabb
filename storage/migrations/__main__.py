"""`python -m storage.migrations "what changed"` writes a new migration."""

import sys

from storage.migrations import write

if len(sys.argv) != 2:
    sys.exit(__doc__)
sys.stdout.write(f"{write(sys.argv[1])}: now read it through.\n")
