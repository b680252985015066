"""PyPI shortuuid and this project agree on every id, both ways, and on what is no id where shortuuid has an opinion."""

import os
import random
import subprocess
import uuid

import shortuuid

COUNT = 100_000
ALPHABET = shortuuid.get_alphabet()
BIGGEST = uuid.UUID(int=2**128 - 1)


def ask(lines: list[str]) -> list[str]:
    """What this project makes of `encode <UUID>` and `decode <short form>`, line by line."""
    asked = subprocess.run(
        [os.environ["FREEHOLD_SHORT_IDS"]], input="".join(f"{line}\n" for line in lines), capture_output=True, text=True, check=True
    )
    answers = asked.stdout.splitlines()
    assert len(answers) == len(lines), f"{len(answers)} answers to {len(lines)} lines"
    return answers


def theirs(text: str) -> str:
    """What shortuuid reads, or `refused`."""
    try:
        return str(shortuuid.decode(text))
    except ValueError:
        return "refused"


chance = random.Random(57)
edges = [0, 1, 56, 57, 58, 57**21 - 1, 57**21, 2**64 - 1, 2**64, 2**127, 2**128 - 2, 2**128 - 1]
edges += [1 << bit for bit in range(128)]
# Half of the rest has leading zeros, where padding could go wrong.
sizes = [128 if number % 2 else chance.randrange(1, 129) for number in range(COUNT - len(edges))]
ids = [uuid.UUID(int=number) for number in edges] + [uuid.UUID(int=chance.getrandbits(size)) for size in sizes]
assert len(ids) == COUNT

shorts = [shortuuid.encode(id) for id in ids]
for id, short, ours in zip(ids, shorts, ask([f"encode {id}" for id in ids])):
    assert ours == short, f"{id}: shortuuid writes {short}, this project {ours}"
for id, short, ours in zip(ids, shorts, ask([f"decode {short}" for short in shorts])):
    assert ours == str(id), f"{short}: shortuuid reads {id}, this project {ours}"
    assert theirs(short) == str(id)

# Any 22 characters of the alphabet: about a fifth of them stands for more than 128 bits, and both refuse those.
texts = ["".join(chance.choices(ALPHABET, k=22)) for _ in range(COUNT)]
past_the_end = shortuuid.ShortUUID()._length * ALPHABET[-1]
texts += [past_the_end, shortuuid.encode(BIGGEST)[:-1] + ALPHABET[ALPHABET.index(shortuuid.encode(BIGGEST)[-1]) + 1]]
refused = 0
for text, ours in zip(texts, ask([f"decode {text}" for text in texts])):
    assert ours == theirs(text), f"{text}: shortuuid reads {theirs(text)}, this project {ours}"
    refused += ours == "refused"
assert 0 < refused < len(texts)

# Characters outside the alphabet: both refuse. Other lengths: shortuuid fills them up, this project refuses what it would never write.
broken = [short[:place] + chance.choice("01IOl-_ é") + short[place + 1 :] for short in shorts[:1000] for place in [chance.randrange(22)]]
for text, ours in zip(broken, ask([f"decode {text}" for text in broken])):
    assert ours == "refused" == theirs(text), f"{text}: shortuuid reads {theirs(text)}, this project {ours}"
lengths = [short[:length] for short in shorts[:100] for length in range(22)] + [short + "2" for short in shorts[:100]]
assert set(ask([f"decode {text}" for text in lengths])) == {"refused"}

print(f"figure: {COUNT} UUIDs written and read, {len(texts)} texts read, {refused} of them refused by both")
