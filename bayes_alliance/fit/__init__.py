"""From a model and rows to a Fit: settings, the nuts engine, checks after sampling, the record, the file."""
