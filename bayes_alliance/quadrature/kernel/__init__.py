"""What of the quadrature engine is compiled: densities of rows, of patients and of therapists, and draws of effects."""
