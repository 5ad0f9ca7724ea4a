"""The image tables of the papers: EDM2's and EDM's networks, their files, images and scores."""
