"""The process in which files are read; `knowledge.ingest.child` starts it and speaks with it."""

import sys

from knowledge.ingest.child import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]))
