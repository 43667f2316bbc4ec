"""Which seed a sample is drawn with.

Sample s of a prompt is drawn with b + s, where b comes from the job's id and the prompt's index alone. vLLM draws the
i-th of n samples with seed + i, so on it a sample is the same whether it was asked for alone or in a batch, by the
first attempt or by a takeover.
"""

import hashlib

# Room above the largest base for the samples of a prompt, so that no seed passes 2^31 - 1: some servers take no more.
_BASES = 2**31 - 2**16


def seed_of(job_id: str, prompt: int, sample: int) -> int:
    """In [0, 2^31): the seed of a batch of samples that begins with `sample`."""
    digest = hashlib.blake2b(f"{job_id}/{prompt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % _BASES + sample % 2**16


def batch(missing: list[int]) -> list[int]:
    """The samples to ask for in one call: the first of the ascending `missing` and those that follow without a gap.

    Over a gap the seeds of a batch would not be those of its samples.
    """
    return [sample for place, sample in enumerate(missing) if sample == missing[0] + place]
