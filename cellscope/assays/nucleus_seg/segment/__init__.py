"""From an image to nuclei: scale, passes through the network, instances, debris."""
