#!/usr/bin/python3
"""tests/harness/sandbox tests/recordings/record.py VERSION [STORY…]: freezes what the programs say today as tests/recordings/VERSION:
their interfaces, and each story.

For a new version of the messages only: what lies there stays as it is.
"""
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import recording, world  # noqa: E402
from recordings import stories  # noqa: E402


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    version, *wanted = sys.argv[1:]
    folder = recording.FOLDER / version
    folder.mkdir(exist_ok=True)
    for interface in () if wanted else sorted((recording.FOLDER.parent.parent / "ipc").glob("*.varlink")):
        shutil.copyfile(interface, folder / interface.name)
    for story in stories.STORIES:
        path = folder / f"{story.__name__}.jsonl"
        if wanted and story.__name__ not in wanted:
            continue
        if path.exists():
            print(f"{path} is frozen", file=sys.stderr)
            return 1
        with world.world() as made:
            try:
                relay = story(made)
            except AssertionError:
                print(made.logs(), file=sys.stderr)
                raise
            recording.save(recording.from_log(relay.log()), path)
            relay.end()
        print(f"{path.name}: {len(path.read_text(encoding='utf-8').splitlines())} messages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
