"""Studies: plan searches, run them on an engine, record every report, resume after any stop."""
