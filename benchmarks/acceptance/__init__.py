"""The long acceptance checks of a release; each prints a target, a measured value and a verdict."""
