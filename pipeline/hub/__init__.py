"""Files of the Hugging Face Hub: fetched, pinned, verified. It knows `core` alone, and nothing of
what the files are for.

revision: which commit of which repository, and which of its files may be asked for.
fetch: a file that was asked for, verified. listing: which files a commit has.
models: the files that make a model, found with `listing` and had with `fetch`.
client: how the Hub's client is called: retries, a watch against stalls, no chatter.
faults: why the client failed, in one line, and whether a retry may help.
"""
