"""Table × spec: named arrays, centring constants, resolved priors, the rows used and dropped."""
