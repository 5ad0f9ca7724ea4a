"""The papers' image tables with EDM2's and EDM's networks: their images and scores."""
