"""Conformance suites: what a plug-in must do, as plain functions of asserts that any test runner
can call. Public, for authors of schedulers, tasks, engines and estimators outside this package.
"""
