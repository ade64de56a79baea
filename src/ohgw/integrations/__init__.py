"""Searches and trainings that other libraries run, warm-started: one file and one extra for each.

Every file can be imported where its library is installed, and raises `MissingExtraError` where it
is not. What wraps a search takes a `WarmStarter`; what wraps a training makes one of the training.
"""
