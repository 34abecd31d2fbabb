"""The process in which files are read; `knowledge.ingest.child` starts it and speaks with it."""

import sys

from knowledge.ingest.child import serve
from knowledge.ingest.formats import reading

if __name__ == "__main__":
    serve(int(sys.argv[1]), reading)
