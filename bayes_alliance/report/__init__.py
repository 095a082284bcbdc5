"""How results read: formatting lives only here."""
