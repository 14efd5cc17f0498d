"""From text notebooks to the pages of the book: execute, lay out, publish, compare."""
