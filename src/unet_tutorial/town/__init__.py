"""A seeded generator of road scenes with their masks: the embedded data set."""
