"""What people write where a value is missing."""

# In small letters.
MISSING_WORDS = (
    "",
    "na",
    "n/a",
    "nan",
    "null",
    "none",
    "nil",
    "-",
    "#n/a",
    "missing",
    "undefined",
    "nat",
    "<na>",
    "#na",
    "#nv",
    "n.a.",
    "k.a.",
    "\\n",
    "--",
    "\u2013",
    "\u2014",
    ".",
    "?",
)
