"""Where toys and theory meet: experiments, metrics, stores, speed."""
