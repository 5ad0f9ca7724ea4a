"""The long checks a release must pass; each prints one line a bar: target, measured, verdict."""
