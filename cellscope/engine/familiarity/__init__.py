"""How like the training images an image is: features on the way through the networks, and what they say."""
