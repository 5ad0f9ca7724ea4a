"""Where toys and theory meet: measures, studies, claims, networks."""
