"""From a detection to a class: upright or straightened, with test-time augmentation, explained."""
