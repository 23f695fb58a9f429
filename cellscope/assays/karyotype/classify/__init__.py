"""From a detection to a class: upright, straightened, seen from two sides, explained."""
