"""Datasets of the Hub: the files of each that are read, pinned, with their licence and gating."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Files of one dataset repository at a commit.

    files: each one's path, or a pattern that one path matches, and its SHA-256 digest: "" where it
    is not known, and locked by the first fetch. gated: whether the Hub asks for a licence to be
    accepted.
    """

    repo: str
    revision: str
    files: tuple[tuple[str, str], ...]
    licence: str
    gated: bool = False


MATH = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory",
    "prealgebra", "precalculus",
)  # fmt: skip

BEAVERTAILS = Source(
    "PKU-Alignment/BeaverTails",
    "8401fe609d288129cc684a9b3be6a93e41cfe678",
    (
        (
            "round0/330k/train.jsonl.xz",
            "12f04c9200000929ebbc616c29cb53331f6df36e7341d73e4a12cffac0eb1c08",
        ),
        (
            "round0/330k/test.jsonl.xz",
            "1c726c662b85bf4761913041fe9e098f80e5206344864597dbde86bc9a1bfc96",
        ),
    ),
    "CC BY-NC 4.0",
)
HENDRYCKS_MATH = Source(
    "EleutherAI/hendrycks_math",
    "21a5633873b6a120296cce3e2df9d5550074f4a3",
    tuple(
        (f"{subject}/{split}-00000-of-00001.parquet", "")
        for subject in MATH
        for split in ("train", "test")
    ),
    "MIT by its card; the problems' own status is open",
)
MMLU = Source(
    "cais/mmlu",
    "c30699e8356da336a370243923dbaf21066bb9fe",
    (
        (
            "all/test-00000-of-00001.parquet",
            "74a41822ce7d3def56e1682f958469c04642a5336a5ce912fa375fdb90fb25d7",
        ),
    ),
    "MIT",
)
SALAD = Source(
    "OpenSafetyLab/Salad-Data",
    "d21a325e276a99bd69b1fbb8aa51a9f249486b72",
    (("base_set.json", ""),),
    "Apache-2.0",
)
WILDGUARD = Source(
    "allenai/wildguardmix",
    "d29c47f41c8b51348b5c8e8c81c039b3132b66d1",
    (("train/*.parquet", ""),),
    "ODC-BY",
    gated=True,
)
WILDGUARD_TEST = Source(
    "allenai/wildguardmix",
    "d29c47f41c8b51348b5c8e8c81c039b3132b66d1",
    (("test/*.parquet", ""),),
    "ODC-BY",
    gated=True,
)
COUNTERFACT = Source(
    "NeelNanda/counterfact-tracing",
    "c945b082ca08d0a8f3ba227fb78404a09614c36e",
    (("data/train-*.parquet", ""),),
    "none on its card",
)
XSTEST = Source(
    "Paul/XSTest",
    "f600c994b256f12867dfa5b3eb3d545a3e62f8b5",
    (
        (
            "xstest_prompts.csv",
            "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a",
        ),
    ),
    "CC BY 4.0",
)
STRONGREJECT = Source(
    "walledai/StrongREJECT",
    "df54272b395ce9e584d2f8140519935425d8549f",
    (("data/train-*.parquet", ""),),
    "MIT",
    gated=True,
)
ULTRACHAT = Source(
    "HuggingFaceH4/ultrachat_200k",
    "8049631c405ae6576f93f445c6b8166f76f5505a",
    (
        (
            "data/test_sft-00000-of-00001-f7dfac4afe5b93f4.parquet",
            "c18fd6e77395577652bdefbc5a87044ea799e989451ecfca5c6cf977ae5c6f70",
        ),
    ),
    "MIT",
)
