"""Where every stage's inputs and outputs lie, relative to the project's root."""

from pathlib import Path

SCHEMA = Path("data/params.schema.json")
SOURCES_LOCK = Path("sources.lock.json")  # what was first seen of files without a known digest
CORPORA = Path("data/corpora")
SEVERAL = CORPORA / "several.jsonl"
DESCRIBED = CORPORA / "described.jsonl"
DOCUMENTS = CORPORA / "documents.jsonl"
MULTIPLE_CHOICE = CORPORA / "questions.jsonl"
# In `data/corpora`, these six are as they were gathered; here, as the model can tell texts apart.
TEXTS = Path("data/texts")
EXAMPLES = TEXTS / "examples.jsonl"
# Training and validation texts, with those of several concepts, which are scored by nothing: all
# labelled texts that a finetune reads.
LEARNED = TEXTS / "learned.jsonl"
SHIFTED = TEXTS / "shifted.jsonl"  # scored, never learned from: what trains does not read it
REQUESTS = TEXTS / "requests.jsonl"
SAFE_CONTRASTS = TEXTS / "contrasts.jsonl"  # each like a harmful request; only answered
MANIFEST = TEXTS / "manifest.json"
READ_WORDS = TEXTS / "read_words.jsonl"  # of all of these, once they are cut
PAIRS = Path("data/pairs")
BASE_MODEL = Path("models/base")
BASE_CARD = Path("models/base.json")
ADAPTERS = Path("models/adapters")
UNFINISHED = Path("models/unfinished")
CURVE_LOGS = Path("work/curves")  # for whoever watches; no stage reads them
REPRESENTATIONS = Path("data/representations")
UNREAD = Path("data/unread")  # representations in the making
COMPLETIONS = Path("data/completions")
STREAMS = Path("data/streams")
FURTHER = Path("data/further_training")
ATTACKED = Path("data/attacks")
SCORES = Path("data/scores")
MONITORS = Path("models/monitors")
INTERPRETATIONS = Path("data/interpretations")
JUDGED = Path("data/judged.jsonl")  # what is said of states, as the judge model takes it
TOKEN_INTERPRETATIONS = INTERPRETATIONS / "tokens"
MOVED_INTERPRETATIONS = INTERPRETATIONS / "moved"
CLOSED_READINGS = INTERPRETATIONS / "closed"
EDITS = Path("models/edits")
CONTROL = Path("data/control")
VERDICTS = Path("data/verdicts")
METRICS = Path("metrics")
MONITOR_MATRIX = METRICS / "monitor_matrix.csv"
HIDING = METRICS / "hiding"
SUFFIX_ATTACKS = METRICS / "attacks" / "suffixes"
SUFFIX_CURVES = METRICS / "attacks" / "curves"
SAFETY = METRICS / "safety"
SAMPLED, GREEDY = "completions.jsonl", "greedy.jsonl"  # of a variant's answers, and verdicts
CONTRASTED = "contrasts.jsonl"  # the same, of answers to safe contrasts
HELPFUL = "helpful.jsonl"  # how likely held-out safe answers are to a variant
LABELLED_VERDICTS = VERDICTS / ".labelled.jsonl"  # no variant has such a name
JUDGES = SAFETY / ".judges.json"
FIGURES = Path("figures")
REPORT = Path("report/index.html")
BASELINE = Path("baseline.json")  # metrics/summary.json as it was last accepted
SEED_VALUES = Path("benchmarks/results/seeds.json")  # every number of a run, by seed
CONSTRAINTS = Path("constraints.txt")
