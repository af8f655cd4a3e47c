"""Extensions of Sphinx that build the site: formulas, links, and the pages that are made from the code."""
