"""From folders of pictures to batches: find, check, split, load, augment."""
