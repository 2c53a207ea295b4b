"""The table of datasets that can be fetched, as the recipes pin them."""

from collections.abc import Mapping

from pipeline.corpora.recipes import (
    DOCUMENT_RECIPES,
    LABELLED_RECIPES,
    REQUEST_RECIPES,
    DocumentRecipe,
    LabelledRecipe,
    RequestRecipe,
)
from pipeline.corpora.sources import Source
from pipeline.reporting.markdown import drawn


def table_of_sources() -> str:
    """A row per repository, with the recipes that read it."""
    recipes: Mapping[str, LabelledRecipe | RequestRecipe | DocumentRecipe]
    recipes = {**LABELLED_RECIPES, **REQUEST_RECIPES, **DOCUMENT_RECIPES}
    readers: dict[str, list[str]] = {}
    sources: dict[str, Source] = {}
    for name, recipe in recipes.items():
        readers.setdefault(recipe.source.repo, []).append(f"`{name}`")
        sources[recipe.source.repo] = recipe.source
    rows = [
        [repo, ", ".join(readers[repo]), source.licence, "yes" if source.gated else "no"]
        for repo, source in sources.items()
    ]
    return drawn(["dataset", "recipes", "licence", "asks to accept it"], rows)
