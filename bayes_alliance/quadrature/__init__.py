"""The quadrature engine: outcomes that are not Gaussian, with the effects of patients and therapists integrated out."""
