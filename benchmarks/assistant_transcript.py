"""Talk with the run of the recipe 'assistant' about test pictures and recordings it has never met.

    tonggan run easy_vqa_free_scratch --out runs/see
    tonggan run connected_digits_ctc --out runs/hear
    tonggan run assistant --set start.picture=runs/see:image --set start.recording=runs/hear:audio --out runs/assistant
    python benchmarks/assistant_transcript.py runs/assistant

Prints one conversation for each kind of turn in the set's test part: the message and what is attached, the reply, and
what the set says. The rows are drawn with a seed and the reply is greedy, so the same run prints the same transcript.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.language.chat import AudioPart, ImagePart, Message, TextPart
from tonggan.language.settings import GenerationConfig
from tonggan.progress import Progress
from tonggan.runs.speaker import open_speaker

MEDIA = {"picture": ImagePart, "recording": AudioPart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--turns", type=int, default=3, help="of each kind")
    parser.add_argument("--engine", choices=("auto", "torch", "native"), default="auto")
    arguments = parser.parse_args()
    speaker = open_speaker(arguments.run, engine=arguments.engine)
    test = find_set("assistant").get(cache=cache_folder(), progress=Progress())["test"]
    table = open_table(test, cache=cache_folder())
    columns = {name: table.values(name) for name in table.names}
    kinds = np.array(columns["about"])
    for kind in sorted(set(columns["about"])):
        print(f"\n## {kind}")
        rows = np.random.default_rng(0).permutation(np.flatnonzero(kinds == kind))[: arguments.turns]
        for row in sorted(rows.tolist()):
            parts = [
                part((table.base / columns[name][row]).read_bytes())
                for name, part in MEDIA.items()
                if columns[name][row]
            ]
            message = Message("user", (*parts, TextPart(columns["message"][row])))
            (reply,) = speaker.model.generate([speaker.prompt([message])], GenerationConfig(max_tokens=32))
            attached = "".join(f"[{Path(columns[name][row]).name}] " for name in MEDIA if columns[name][row])
            print(f"user: {attached}{columns['message'][row]}")
            print(f"assistant: {reply.text.strip()}")
            if reply.text.strip() != columns["reply"][row]:
                print(f"    (the set says: {columns['reply'][row]})")


if __name__ == "__main__":
    main()
