import asyncio, tempfile
from pathlib import Path
from tests.bench import table, booking
with tempfile.TemporaryDirectory() as f:
    print(table(asyncio.run(booking.measure(Path(f)))))
